"""Find batch size, scale and K before the first structure, while the programs compile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jentmax.dataset import Stream
from jentmax.devices import workers
from jentmax.errors import JentmaxError
from jentmax.generation._entropy_weight import largest_entropy_weight
from jentmax.generation._fields import RecipeFields
from jentmax.generation._resolved import Resolved
from jentmax.generation._scale import typical_features
from jentmax.generation._tuning import chosen_batch_size
from jentmax.samplers import pinned
from jentmax.system import atomic_numbers_of, cell_heights

_FIRST_CHAIN = 2**30
"""Number of the first chain in the run that finds the scale."""

NoteCallback = Callable[[str, str], None]


def resolve(
    recipe: RecipeFields,
    seed: int,
    structures: int | None,
    devices: int | None,
    cache: Path | None,
    callback: NoteCallback,
) -> Resolved:
    """Resolve a recipe; see `Recipe.resolve`."""
    check_seed(seed)
    features = recipe.potential.descriptor.n_features
    blank = Resolved(recipe, seed, _streams(recipe, 1), np.ones(features), np.zeros(features))
    _note_images(blank, callback)
    size = _batch_size(blank, structures, devices, cache, callback)
    resolved = dataclasses.replace(blank, streams=_streams(recipe, size))
    with ThreadPoolExecutor(2) as threads:
        compiling = [threads.submit(call) for call in resolved.warm(0, workers(devices)[0])]
        resolved = _scaled(resolved, callback, compiling)
    if recipe.entropy_weight == "auto":
        resolved = _with_entropy_weights(resolved, devices, callback)
    return resolved


def check_seed(seed: int) -> None:
    """Refuse an invalid seed.

    Raises:
        JentmaxError: the seed is not an unsigned 32-bit integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise JentmaxError(
            f"seed = {seed!r} is not allowed; give a whole number from 0 to {2**32 - 1}"
        )


def _note_images(blank: Resolved, callback: NoteCallback) -> None:
    """Note that small cells make a run slower: slightly denser cells may be many times slower."""
    for number, stream in enumerate(blank.streams):
        with pinned(blank.x64):
            finder = blank.potential(number).finder
        count = math.prod(images + 1 for images in getattr(finder, "images", ()))
        if finder is not None and count > 1:
            heights = cell_heights(np.moveaxis(blank.recipe.start.extremes(number).cell, -1, 0))
            callback(
                "starting",
                f"cells      of {stream.formula} are as thin as {heights.min():.3g} Å, less than "
                f"twice the cutoff of {finder.cutoff:g} Å: a step needs {count} images of each "
                f"pair and takes {count} times as long; more atoms or a lower density need "
                "only one",
            )


def _streams(recipe: RecipeFields, batch_size: int) -> tuple[Stream, ...]:
    weight = 0.0 if recipe.entropy_weight == "auto" else recipe.entropy_weight
    return tuple(
        Stream(formula, len(atomic_numbers_of(formula)), 1.0, batch_size, weight)
        for formula in recipe.start.formulas
    )


def _batch_size(
    blank: Resolved,
    structures: int | None,
    devices: int | None,
    cache: Path | None,
    callback: NoteCallback,
) -> int:
    n_streams = len(blank.streams)
    of_stream = -(-(structures or 10**6) // n_streams)
    n_chains = -(-of_stream // blank.recipe.cycles_per_chain)
    size, reason = chosen_batch_size(
        lambda size: dataclasses.replace(blank, streams=_streams(blank.recipe, size)),
        n_chains,
        devices,
        cache,
        lambda phase: callback(phase, ""),
    )
    callback("starting", f"batch      {size} side by side on each device, {reason}")
    return size


def _scaled(resolved: Resolved, callback: NoteCallback, compiling: list[Future[Any]]) -> Resolved:
    """Add the potential's scale or, if it has none, the scale found by a run without entropy."""
    recipe = resolved.recipe
    given = recipe.potential.scale
    if given is not None:
        callback("compiling", "")
        for program in compiling:
            program.result()
        scale = np.asarray(given, float)
        return dataclasses.replace(resolved, scale=scale, shift=np.zeros(len(scale)))
    callback("compiling and fitting the scale", "")
    starts = [
        recipe.start.draw(resolved.seed, 0, _FIRST_CHAIN + replica, 0)
        for replica in range(recipe.scale.replicas)
    ]
    words = np.random.SeedSequence([resolved.seed, _FIRST_CHAIN]).generate_state(2, np.uint32)
    with pinned(resolved.x64):
        key = jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
        systems = resolved.side_by_side(starts)
        potential = recipe.potential.for_cells(recipe.start.extremes(0))
        shift, scale = typical_features(
            potential,
            systems,
            key,
            recipe.scale,
            lambda done: callback(f"compiling and fitting the scale, {100 * done:.0f} %", ""),
        )
    for program in compiling:
        program.result()
    return dataclasses.replace(resolved, scale=scale, shift=shift)


def _with_entropy_weights(
    resolved: Resolved, devices: int | None, callback: NoteCallback
) -> Resolved:
    streams = []
    for number, stream in enumerate(resolved.streams):
        weight = largest_entropy_weight(
            resolved, number, devices, lambda phase: callback(phase, "")
        )
        callback("annealing", f"K          {weight:.4g} eV for {stream.formula}")
        streams.append(dataclasses.replace(stream, entropy_weight=weight))
    return dataclasses.replace(resolved, streams=tuple(streams))
