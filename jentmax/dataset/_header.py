"""What a set says of itself: a plain table, the same in set.json and in the finished file."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
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


def with_time(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header with the entry created, which is now unless it has one."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": now} | dict(header)


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
    """The header, if it has all that it needs; a generated set has streams.

    Raises:
        JentmaxError: naming the entry, its value and what is allowed.
    """
    _check("it", header, isinstance(header, dict), "a table")
    for name, kind, allowed in (
        ("recipe", dict, "a table"),
        ("seed", int, "a whole number"),
        ("versions", dict, "a table of texts"),
        ("device", str, "a text"),
        ("created", str, "a text"),
        ("scale", list, "a list of finite numbers"),
        ("shift", list, "a list of finite numbers"),
    ):
        _check(name, header.get(name), type(header.get(name)) is kind, allowed)
    for name, value in header["versions"].items():
        _check(f"versions.{name}", value, isinstance(value, str), "a text")
    for name in ("scale", "shift"):
        fits = len(header[name]) == len(header["scale"]) and all(map(_is_number, header[name]))
        _check(name, header[name], fits, "a list of finite numbers, one for each descriptor")
    if generated:
        precision, streams = header.get("precision"), header.get("streams")
        _check("precision", precision, precision in ("float32", "float64"), "float32 or float64")
        _check("streams", streams, type(streams) is list and bool(streams), "a list of streams")
        for k, stream in enumerate(streams):
            _check(f"streams[{k}]", stream, isinstance(stream, dict), "a table")
            share = stream.get("share")
            _check(f"streams[{k}].share", share, _is_number(share) and share > 0, "positive")
            for key in ("n_atoms", "batch_size"):
                n = stream.get(key)
                fits = type(n) is int and 1 <= n <= 10**9
                _check(f"streams[{k}].{key}", n, fits, "a whole number of at least 1")
    return header


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _check(name: str, value: object, fits: bool, allowed: str) -> None:
    if not fits:
        shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)
        raise JentmaxError(
            f"header of a set: {printable(name)} is {printable(shown)[:80]}, must be {allowed}"
        )
