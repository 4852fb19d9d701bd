"""What a set says of itself: a plain table, the same in set.json and in the finished file."""

from __future__ import annotations

import json
import math
from typing import Any

from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError


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


def check_header(header: Any, *, generated: bool = True) -> dict[str, Any]:
    """The header, if it has all that it needs.

    Args:
        header: to check.
        generated: whether it is of a generated set, which has streams.

    Raises:
        JentmaxError: naming the entry, its value and what is allowed.
    """
    if not isinstance(header, dict):
        raise _wrong("it", header, "a table")
    for name in ("recipe", "versions"):
        if not isinstance(header.get(name), dict):
            raise _wrong(name, header.get(name), "a table")
    for name in ("device", "created", *(f"versions.{name}" for name in header["versions"])):
        group, _, key = name.partition(".")
        value = header[group].get(key) if key else header.get(name)
        if not isinstance(value, str):
            raise _wrong(name, value, "a text")
    if type(header.get("seed")) is not int:
        raise _wrong("seed", header.get("seed"), "a whole number")
    for name in ("scale", "shift"):
        values = header.get(name)
        fits = isinstance(values, list) and len(values) == len(header["scale"])
        if not fits or not all(map(_is_number, values)):
            raise _wrong(name, values, "a list of finite numbers, one for each descriptor")
    if not generated:
        return header
    if header.get("precision") not in ("float32", "float64"):
        raise _wrong("precision", header.get("precision"), "float32 or float64")
    streams = header.get("streams")
    if not isinstance(streams, list) or not streams:
        raise _wrong("streams", streams, "a list of at least one stream")
    for number, stream in enumerate(streams):
        if not isinstance(stream, dict):
            raise _wrong(f"streams[{number}]", stream, "a table")
        if not _is_number(share := stream.get("share")) or not share > 0:
            raise _wrong(f"streams[{number}].share", share, "a positive number")
        for key in ("n_atoms", "batch_size"):
            if type(value := stream.get(key)) is not int or not 1 <= value <= 10**9:
                raise _wrong(f"streams[{number}].{key}", value, "a whole number of at least 1")
    return header


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _wrong(name: str, value: object, allowed: str) -> JentmaxError:
    shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)
    shown = printable(shown)[:80]
    return JentmaxError(f"header of a set: {printable(name)} is {shown}, must be {allowed}")
