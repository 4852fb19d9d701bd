"""How long the descriptors of the unbiased run remember: the autocorrelation of each component.

Prints for each component of the preset's descriptor after how many steps its autocorrelation (over
an atom's own time series, averaged over atoms and replicas) has fallen to 1/e and to 0.05.

    python scripts/correlation_time.py [--preset tungsten-unbiased] [--replicas 16]
"""

import argparse

import jax.numpy as jnp
import numpy as np

from jentmax import load
from jentmax.build import build_descriptor, build_potential, build_sampler
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.cycles import advance, begin
from jentmax.sharding import first_devices

EVERY = 5


def series(preset: str, replicas: int, steps: int, forget: int) -> np.ndarray:
    """Features every few steps, shape (n_times, n_features, n_atoms * n_replicas)."""
    settings = load(preset)
    potential = build_potential(settings, np.ones(build_descriptor(settings).n_features))
    sampler = build_sampler(settings, potential)
    chains = list(range(replicas))
    devices = first_devices(1)
    start, keys, system, weights = devices.split(
        (
            *chain_keys(settings.run.seed, chains, [0] * replicas, 0),
            *stacked([random_start(settings, chain) for chain in chains], jnp.float32),
        )
    )
    sampler, state = begin(devices, sampler, start, system, weights)
    total = forget + steps
    sampler, state, _ = advance(devices, sampler, keys, state, 0, forget, total)
    features = []
    for step in range(forget, total, EVERY):
        sampler, state, _ = advance(devices, sampler, keys, state, step, step + EVERY, total)
        now = state.system
        features.append(np.asarray(potential.terms(now.positions, now.cell, now.species).features))
    return np.moveaxis(np.stack(features), 2, 1).reshape(len(features), features[0].shape[1], -1)


def autocorrelation(values: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation at 0 to lags - 1 records, shape (lags, n_features)."""
    values = values - values.mean(axis=(0, 2), keepdims=True)
    variance = (values**2).mean(axis=(0, 2))
    n = len(values)
    products = [(values[: n - lag] * values[lag:]).mean(axis=(0, 2)) for lag in range(lags)]
    return np.array(products) / variance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
