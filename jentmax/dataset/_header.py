"""What a set says of itself: a plain table, the same in set.json and in the finished file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError

SCHEMA = 2
"""Number of the layout of sets, under way and finished; other numbers are not read."""

PRECISIONS = ("float32", "float64")


def plain_json(tree: object) -> str:
    """One text for equal trees, without spaces.

    Raises:
        JentmaxError: numbers that are not finite, or what JSON has no form for.
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
    """What a text in JSON says.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_header(header: object, *, generated: bool = True) -> dict[str, Any]:
    """The header, if it has all that it needs.

    Args:
        header: to check.
        generated: whether it is of a generated set, which has streams.

    Raises:
        JentmaxError: naming the entry, its value and what is allowed.
    """
    if not isinstance(header, dict):
        raise _wrong("it", header, "a table")
    for name, kind, allowed in (
        ("recipe", dict, "a table"),
        ("seed", int, "a whole number"),
        ("versions", dict, "a table of texts"),
        ("device", str, "a text"),
        ("created", str, "a text"),
        ("scale", list, "a list of numbers"),
        ("shift", list, "a list of numbers"),
    ):
        if not isinstance(header.get(name), kind) or isinstance(header[name], bool):
            raise _wrong(name, header.get(name), allowed)
    if not all(isinstance(version, str) for version in header["versions"].values()):
        raise _wrong("versions", header["versions"], "a table of texts")
    for name in ("scale", "shift"):
        if not all(map(_is_number, header[name])) or len(header[name]) != len(header["scale"]):
            raise _wrong(name, header[name], "finite numbers, one for each descriptor")
    if generated:
        if header.get("precision") not in PRECISIONS:
            raise _wrong("precision", header.get("precision"), " or ".join(PRECISIONS))
        streams = header.get("streams")
        if not isinstance(streams, list) or not streams:
            raise _wrong("streams", streams, "a list of at least one stream")
        for number, stream in enumerate(streams):
            _check_stream(f"streams[{number}]", stream)
    return header


def _check_stream(name: str, stream: object) -> None:
    if not isinstance(stream, Mapping):
        raise _wrong(name, stream, "a table")
    if not _is_number(share := stream.get("share")) or not share > 0:
        raise _wrong(f"{name}.share", share, "a positive number")
    for key in ("n_atoms", "batch_size"):
        value = stream.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10**9:
            raise _wrong(f"{name}.{key}", value, "a whole number of at least 1")


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and abs(value) < 1e300 and math.isfinite(value)


def _wrong(name: str, value: object, allowed: str) -> JentmaxError:
    told = printable(repr(value) if not isinstance(value, dict | list) else type(value).__name__)
    return JentmaxError(f"header of a set: {name} is {told[:80]}, must be {allowed}")
