"""Check whether a set's files belong to a recipe, by comparing their headers with it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jentmax.devices import device_kind, versions
from jentmax.errors import JentmaxError
from jentmax.fields import shown
from jentmax.generation._fields import RecipeFields
from jentmax.samplers import pinned

_SYMBOL = re.compile(r"@\w+")


def fingerprint(recipe: RecipeFields) -> str:
    """SHA-256 of a lowered step, for recipes with code outside the package; "" for others.

    The name of a function does not reveal edits, but the program that JAX lowers it to does. Code
    that draws random starts runs on the host, so the hash includes the first start.
    """
    plain = recipe.to_plain()
    if not _has_code(plain):
        return ""
    with pinned(recipe.precision == "float64"):
        systems = jax.tree.map(jnp.asarray, recipe.start.extremes(0))
        dtype = np.dtype(recipe.precision)
        systems = jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, systems)
        potential = recipe.potential.for_cells(systems)

        def step(words: Array, systems: Any, weights: Array, progress: Array) -> Any:
            keys = jax.random.wrap_key_data(words, impl="threefry2x32")
            state = recipe.sampler.init(potential, keys, systems, weights)
            return eqx.filter(recipe.sampler.step(potential, keys, state, progress), eqx.is_array)

        n = len(systems)
        words, weights = jnp.zeros((n, 2), jnp.uint32), jnp.zeros(n, dtype)
        traced = jax.jit(step).trace(words, systems, weights, jnp.zeros((), dtype))
        text = traced.lower(lowering_platforms=("cpu",)).as_text()
    # The suffixes of equal names depend on earlier traces, so number the names here.
    names = {name: str(k) for k, name in enumerate(dict.fromkeys(_SYMBOL.findall(text)))}
    found = hashlib.sha256(_SYMBOL.sub(lambda m: names[m.group()], text).encode())
    if _has_code(plain["start"]):
        start = recipe.start.draw(0, 0, 0, 0)
        for array in (start.numbers, start.positions, start.cell):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _has_code(tree: Any) -> bool:
    """Whether a plain tree refers to code outside the package."""
    if isinstance(tree, Mapping):
        return any(map(_has_code, tree.values()))
    if isinstance(tree, list):
        return any(map(_has_code, tree))
    return isinstance(tree, str) and ":" in tree


def refuse_others(path: Path, header: Mapping[str, Any], recipe: RecipeFields, seed: int) -> None:
    """Refuse a set made with another recipe, seed or version.

    Raises:
        JentmaxError: with a line for each difference.
    """
    stored, given = dict(header["recipe"]), json.loads(json.dumps(recipe.to_plain()))
    stored["batch_size"] = header["streams"][0]["batch_size"]
    if given["batch_size"] is None:
        given["batch_size"] = stored["batch_size"]
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
                    f"{path} was made with another recipe, seed or version; give the same recipe "
                    f"and seed (jentmax info {path} shows them), another output, or --overwrite",
                    *lines,
                ]
            )
        )


def same_jax(header: Mapping[str, Any]) -> bool:
    """Whether the set was made with this version of JAX."""
    ours = versions()
    return all(ours[name] == header["versions"].get(name) for name in ("jax", "jaxlib"))


def version_note(header: Mapping[str, Any], device: str) -> str:
    """A note on changed versions or devices, which may change last digits; empty if none did."""
    ours, theirs = versions(), header["versions"]
    changes = [
        f"{name} {theirs.get(name, 'unknown')} before, {ours[name]} now"
        for name in ours
        if name != "python" and theirs.get(name) != ours[name]
    ]
    if device_kind(header["device"]) != device_kind(device):
        changes.append(f"{header['device']} before, {device} now")
    return f"continuing with {'; '.join(changes)}: last digits may differ" if changes else ""


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line for each difference between two plain trees.

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
