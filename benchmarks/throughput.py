"""Structure-steps per second of the full sampler step, and its compile time.

    python benchmarks/throughput.py [--batch-size 16] [--precision float32] [--output result.json]

One compiled call runs `--steps` steps of all replicas; the median of `--repeats` such calls counts.
Before anything is timed, the forces are compared with float64 forces and with central differences.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jentmax import load
from jentmax.build import build_potential, build_sampler
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.cycles import begin
from jentmax.potential import Potential
from jentmax.samplers import run
from jentmax.scaling import feature_scaling
from jentmax.versions import device_name, versions


def check_forces(settings: Settings, scale: np.ndarray) -> dict[str, float]:
    """Largest deviations, over the largest force, of float32 and of central differences."""
    start = random_start(settings, 0)
    weight = float(start.entropy_weight)

    def energy_and_forces(dtype: type) -> tuple:
        potential: Potential = build_potential(settings, jnp.asarray(scale, dtype))
        cell, species = jnp.asarray(start.cell, dtype), jnp.asarray(start.species)

        def energy(positions):
            return potential.energy(positions, cell, species, weight)

        positions = jnp.asarray(start.positions, dtype)
        return jax.jit(energy), positions, np.asarray(-jax.jit(jax.grad(energy))(positions))

    _, _, single = energy_and_forces(jnp.float32)
    with jax.enable_x64(True):
        energy, positions, double = energy_and_forces(jnp.float64)
        step, worst = 1e-5, 0.0
        for atom, axis in ((0, 0), (1, 1), (2, 2)):
            shift = jnp.zeros_like(positions).at[atom, axis].set(step)
            difference = -(energy(positions + shift) - energy(positions - shift)) / (2 * step)
            worst = max(worst, abs(float(difference) - double[atom, axis]))
    largest = np.abs(double).max()
    deviations = {
        "float32": float(np.abs(single - double).max() / largest),
        "central_differences": float(worst / largest),
    }
    # float32 has 7 digits; sums over neighbours and cancellation in differences cost three.
    assert deviations["float32"] < 1e-3, deviations
    assert deviations["central_differences"] < 1e-6, deviations
    return deviations


def measure(settings: Settings, steps: int, repeats: int) -> dict:
    run_settings = settings.run
    dtype = jnp.float64 if run_settings.precision == "float64" else jnp.float32
    with jax.enable_x64(run_settings.precision == "float64"):
        scaling = feature_scaling(settings, dtype).scale
    deviations = check_forces(settings, scaling)
    with jax.enable_x64(run_settings.precision == "float64"):
        potential = build_potential(settings, scaling)
        sampler = build_sampler(settings, potential)
        chains = list(range(run_settings.batch_size))
        starts = [random_start(settings, chain) for chain in chains]
        system, weights = stacked(starts, dtype)
        keys, motion = chain_keys(run_settings.seed, chains, [0] * len(chains), 0)
        sampler, state = begin(sampler, keys, system, weights)

        def call() -> float:
            began = time.perf_counter()
            jax.block_until_ready(run(sampler, motion, state, 0, steps, steps))
            return time.perf_counter() - began

        first = call()
        seconds = [call() for _ in range(repeats)]
    median = float(np.median(seconds))
    return {
        "device": device_name(),
        "versions": versions(),
        "precision": run_settings.precision,
        "batch_size": run_settings.batch_size,
        "n_atoms": settings.system.atom_counts()[0],
        "twojmax": settings.descriptor.twojmax,
        "n_features": len(scaling),
        "steps": steps,
        "compile_s": first - median,
        "seconds": seconds,
        "structure_steps_per_s": run_settings.batch_size * steps / median,
        "us_per_structure_step": 1e6 * median / (run_settings.batch_size * steps),
        "force_deviations": deviations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tungsten")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    given = parser.parse_args()
    overrides = [
        f"run.batch_size={given.batch_size}",
        f"run.precision={given.precision}",
        *given.set,
    ]
    result = measure(load(given.preset, overrides), given.steps, given.repeats)
    print(f"device            {result['device']}, {result['precision']}")
    print(f"batch             {result['batch_size']} structures of {result['n_atoms']} atoms")
    print(f"compile           {result['compile_s']:.1f} s")
    print(f"structure-steps/s {result['structure_steps_per_s']:.0f}")
    print(f"each              {result['us_per_structure_step']:.1f} us")
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
        print(f"written           {given.output}")


if __name__ == "__main__":
    main()
