"""The header of a set: a plain table, in set.json and in the finished file."""

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
        formula: of its structures.
        n_atoms: in each.
        share: of the set; shares may have any sum.
        batch_size: chains of a chunk, side by side on a device.
        entropy_weight: K in eV, or the range that each chain draws its own from.
    """

    formula: str
    n_atoms: Annotated[int, Ge(1), Le(10**9)]
    share: Annotated[float, Gt(0), Le(1e300)]
    batch_size: Annotated[int, Ge(1), Le(10**9)]
    entropy_weight: float | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class _Header:
    """What a header holds; a described file has no streams."""

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
    """A header as JSON would give it back, checked, with the time now unless it has one.

    Raises:
        JentmaxError: naming the entry, its value and what is allowed.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return check_header(parsed_json(plain_json({"created": now, **header})), generated=generated)


def check_header(header: Any, *, generated: bool = True) -> dict[str, Any]:
    """The header, if it has all that it needs; a generated set has streams.

    Raises:
        JentmaxError: naming the entry, its value and what is allowed.
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
    """One text for equal trees, without spaces.

    Raises:
        JentmaxError: numbers that are not finite, or data that JSON has no form for.
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
    """The data in a text.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def checksum(tree: object) -> int:
    """CRC-32 of plain data."""
    return zlib.crc32(plain_json(tree).encode())
