"""The header of a set, stored as plain data in set.json and in the finished file."""

from __future__ import annotations

import dataclasses
import datetime
import json
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError
from jentmax.fields import check


@dataclasses.dataclass(frozen=True)
class Stream:
    """Structures of one formula, numbered from 0.

    Attributes:
        formula: formula of its structures.
        n_atoms: number of atoms in each structure.
        share: relative share of the set; shares may have any sum.
        batch_size: number of chains in a chunk, which run in parallel on a device.
        entropy_weight: K in eV, or a range from which each chain draws its K.
    """

    formula: str
    n_atoms: Annotated[int, Ge(1), Le(10**9)]
    share: Annotated[float, Gt(0), Le(1e300)]
    batch_size: Annotated[int, Ge(1), Le(10**9)]
    entropy_weight: float | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class _Header:
    """Entries of a header; a described file has no streams."""

    recipe: dict
    seed: int
    versions: Mapping[str, str]
    device: str
    created: str
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    precision: Literal["float32", "float64"] = "float32"
    sha256: str = ""
    streams: tuple[dict, ...] = ()


def plain_header(header: Mapping[str, Any], *, generated: bool = True) -> dict[str, Any]:
    """A header after a JSON round trip, checked; adds the current time as created if missing.

    Raises:
        JentmaxError: an entry is not allowed; the message names it and the allowed values.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return check_header(parsed_json(plain_json({"created": now, **header})), generated=generated)


def check_header(header: Any, *, generated: bool = True) -> dict[str, Any]:
    """Return the header if all its entries are valid; a generated set needs streams.

    Raises:
        JentmaxError: an entry is not allowed; the message names it and the allowed values.
    """
    try:
        if not isinstance(header, dict):
            raise JentmaxError("it must be a table")
        checked = check("header", _Header, header)
        if len(checked["scale"]) != len(checked["shift"]):
            raise JentmaxError("header.shift must have as many numbers as header.scale")
        streams = checked.get("streams", ())
        if generated and not streams:
            raise JentmaxError("header.streams must have at least one stream")
        for k, stream in enumerate(streams):
            check(f"header.streams[{k}]", Stream, stream)
    except (JentmaxError, RecursionError) as error:
        raise JentmaxError(printable(str(error))) from None
    return header


def plain_json(tree: object) -> str:
    """JSON without spaces and with sorted keys, identical for equal trees.

    Raises:
        JentmaxError: numbers are not finite, or JSON cannot represent the data.
    """
    try:
        return json.dumps(
            tree,
            sort_keys=True,
            allow_nan=False,
            separators=(",", ":"),
            default=lambda value: value.tolist(),  # numpy's
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise JentmaxError(f"the header of a set must be plain data: {error}") from error


def parsed_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def checksum(tree: object) -> int:
    """CRC-32 of plain data."""
    return zlib.crc32(plain_json(tree).encode())
