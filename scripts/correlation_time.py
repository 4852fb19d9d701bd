"""Autocorrelation of each component of the descriptors in the unbiased run.

For each component of the preset's descriptor, the script prints the number of steps after which its
autocorrelation (of each atom's time series, averaged over atoms and replicas) is 1/e and 0.05.

    python scripts/correlation_time.py [--preset tungsten-unbiased] [--replicas 16]
"""

import argparse

import jax
import numpy as np

import jentmax as jm
from jentmax.samplers import Cycle, pinned

EVERY = 5


def series(preset: str, replicas: int, steps: int, forget: int) -> np.ndarray:
    """Features every few steps, shape (n_times, n_features, n_atoms * n_replicas)."""
    recipe = jm.recipe(preset)
    with pinned(False):
        systems = jm.System.stack([recipe.start.draw(0, 0, k, 0) for k in range(replicas)])
        cycle = Cycle(recipe.potential.for_cells(recipe.start.extremes(0)), recipe.sampler)
        keys = jax.random.split(jax.random.key(0), replicas)
        weights = np.full(replicas, np.max(recipe.entropy_weight), np.float32)
        state = cycle.start(keys, systems, weights)
        total = forget + steps
        state, _ = cycle.advance(keys, state, 0, forget, total)
        features = []
        for step in range(forget, total, EVERY):
            state, _ = cycle.advance(keys, state, step, step + EVERY, total)
            features.append(np.asarray(cycle.ends(state)[1].features))
    return np.moveaxis(np.stack(features), 2, 1).reshape(len(features), features[0].shape[1], -1)


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation at 0 to lags - 1 records, shape (lags, n_features)."""
    values = values - values.mean(axis=(0, 2), keepdims=True)
    variance = (values**2).mean(axis=(0, 2))
    n = len(values)
    products = [(values[: n - lag] * values[lag:]).mean(axis=(0, 2)) for lag in range(lags)]
    return np.array(products) / variance


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="tungsten-unbiased")
    parser.add_argument("--replicas", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--forget", type=int, default=1000)
    given = parser.parse_args()
    values = series(given.preset, given.replicas, given.steps, given.forget)
    correlation = autocorrelation(values, min(200, len(values) // 2))
    print("component  steps to 1/e  steps to 0.05  after 500 steps")
    for component, decay in enumerate(correlation.T, start=1):
        below = [
            np.argmax(decay < level) * EVERY if (decay < level).any() else "-"
            for level in (np.exp(-1), 0.05)
        ]
        print(f"{component:9}  {below[0]:>12}  {below[1]:>13}  {decay[500 // EVERY]:15.3f}")


if __name__ == "__main__":
    main()
