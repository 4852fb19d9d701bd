"""The header of a set, a plain table in set.json and in the file; and what chunks must be."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jentmax.dataset._schema import (
    ACCEPTED,
    CHUNK_COLUMNS,
    TOO_CLOSE,
    ChunkId,
    columns,
    impossible,
)
from jentmax.dataset._structures import Structures
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


def check_chunk(chunk: ChunkId, structures: Structures, header: Mapping[str, Any]) -> None:
    """Raise a JentmaxError if structures are not those of a chunk."""
    if not 0 <= chunk.stream < len(header["streams"]) or min(chunk) < 0:
        raise JentmaxError(f"{chunk}: the set has {len(header['streams'])} streams")
    stream = header["streams"][chunk.stream]
    n, n_atoms = stream["batch_size"], stream["n_atoms"]
    if len(structures) != n or (structures.counts != n_atoms).any():
        raise JentmaxError(f"{chunk} must have {n} structures of {n_atoms} atoms each")
    values = {**structures.columns, **structures.atom_columns}
    schema = columns(len(header["scale"]))
    schema = {**CHUNK_COLUMNS, "descriptors": schema["atoms/descriptors"]}
    for name, column in schema.items():
        if name not in values or not column.fits(values[name].dtype, values[name].shape):
            raise JentmaxError(f"{chunk}: {name} is missing, or of another type or shape")
    row, status = structures.columns["row"], structures.columns["status"]
    if (row != np.arange(n)).any() or (status < 0).any() or (status > TOO_CLOSE).any():
        raise JentmaxError(f"{chunk}: rows must be 0 to {n - 1}, and status from 0 to {TOO_CLOSE}")
    accepted = structures[status == ACCEPTED]
    accepted.check()
    for name, column in {**accepted.columns, **accepted.atom_columns}.items():
        if impossible(name, column):
            raise JentmaxError(f"{chunk}: {name} of an accepted structure is not finite")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _check(name: str, value: object, fits: bool, allowed: str) -> None:
    if not fits:
        shown = type(value).__name__ if isinstance(value, dict | list) else repr(value)
        raise JentmaxError(
            f"header of a set: {printable(name)} is {printable(shown)[:80]}, must be {allowed}"
        )
