"""Whether files belong to a recipe: what they say of it, compared with what it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jentmax.devices import device_kind, versions
from jentmax.errors import JentmaxError
from jentmax.fields import shown
from jentmax.generation._recipe import Recipe
from jentmax.samplers import pinned

_SYMBOL = re.compile(r"@\w+")


def fingerprint(recipe: Recipe) -> str:
    """SHA-256 of V as JAX lowers it, for recipes with code outside the package; "" for others.

    Names of functions do not tell whether somebody has edited them; what JAX makes of them does.
    """
    if not _has_code(recipe.to_plain()):
        return ""
    with pinned(False):
        systems = jax.tree.map(lambda array: np.asarray(array[..., 0]), recipe.start.extremes(0))
        potential = recipe.potential.for_cells(systems)
        shapes = (
            jax.ShapeDtypeStruct(systems.positions.shape, jnp.float32),
            jax.ShapeDtypeStruct((3, 3), jnp.float32),
            jax.ShapeDtypeStruct(systems.numbers.shape, jnp.int32),
        )
        traced = jax.jit(lambda *arrays: potential.energy(*arrays)).trace(*shapes)
        text = traced.lower(lowering_platforms=("cpu",)).as_text()
    # JAX numbers equal names by what it has traced before.
    names = {name: str(k) for k, name in enumerate(dict.fromkeys(_SYMBOL.findall(text)))}
    return hashlib.sha256(_SYMBOL.sub(lambda m: names[m.group()], text).encode()).hexdigest()


def _has_code(tree: Any) -> bool:
    """Whether a plain tree names code outside the package."""
    if isinstance(tree, Mapping):
        return any(map(_has_code, tree.values()))
    if isinstance(tree, list):
        return any(map(_has_code, tree))
    return isinstance(tree, str) and ":" in tree


def refuse_others(path: Path, header: Mapping[str, Any], recipe: Recipe, seed: int) -> None:
    """Refuse a set that another recipe, seed or version has made.

    Raises:
        JentmaxError: with a line for each difference.
    """
    stored, given = dict(header["recipe"]), json.loads(json.dumps(recipe.to_plain()))
    sizes = {stream["batch_size"] for stream in header["streams"]}
    if given.get("batch_size") is None or sizes == {given["batch_size"]}:
        given["batch_size"] = stored.get("batch_size")
    lines = differences(stored, given)
    if header["seed"] != seed:
        lines.append(f"seed is {seed}, was {header['seed']}")
    ours, theirs = versions(), header["versions"]
    if ours["jentmax"] != theirs.get("jentmax"):
        lines.append(f"jentmax is {ours['jentmax']}, was {theirs.get('jentmax', 'unknown')}")
    if not lines and same_jax(header) and header.get("sha256", "") != fingerprint(recipe):
        lines.append("a function of the recipe has been edited since")
    if lines:
        raise JentmaxError(
            "\n  ".join(
                [
                    f"{path} was made otherwise; give the same recipe and seed (jentmax info {path} "
                    "shows them), another output, or --overwrite",
                    *lines,
                ]
            )
        )


def same_jax(header: Mapping[str, Any]) -> bool:
    """Whether this JAX made the set."""
    ours = versions()
    return all(ours[name] == header["versions"].get(name) for name in ("jax", "jaxlib"))


def made_otherwise(header: Mapping[str, Any], device: str) -> str:
    """A note on what made the set, if last digits may depend on it; empty if nothing differs."""
    ours, theirs = versions(), header["versions"]
    told = [
        f"{name} {theirs.get(name, 'unknown')} before, {ours[name]} now"
        for name in ours
        if name != "python" and theirs.get(name) != ours[name]
    ]
    if device_kind(header["device"]) != device_kind(device):
        told.append(f"{header['device']} before, {device} now")
    return f"going on   with {'; '.join(told)}: last digits may differ" if told else ""


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What differs between two plain trees, a line each.

    >>> differences({"start": {"density": 0.03}}, {"start": {"density": 0.04}})
    ['start.density is 0.04, was 0.03']
    """
    old, new = _flat(stored), _flat(given)
    lines = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, now = (tree.get(name, "absent") for tree in (old, new))
        if before != now:
            lines.append(f"{name} is {shown(now)}, was {shown(before)}")
    return lines


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
