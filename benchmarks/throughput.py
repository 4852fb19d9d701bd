"""Structure-steps per second of the full sampler step, its compile time, and what bounds it.

    python benchmarks/throughput.py [--batch-size 16] [--precision float32] [--output result.json]

One compiled call runs `--steps` steps of all replicas; the median of `--repeats` such calls counts.
Before anything is timed, the forces are compared with float64 forces and with central differences.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

from jentmax.devices import quieten, use_every_core

quieten()
use_every_core()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from limits import fused_elementwise, matrix_product  # noqa: E402

from jentmax import load  # noqa: E402
from jentmax.build import build_potential, build_sampler, n_features  # noqa: E402
from jentmax.chains import chain_keys, random_start, stacked  # noqa: E402
from jentmax.config import Settings  # noqa: E402
from jentmax.cycles import advance, begin  # noqa: E402
from jentmax.potential import Potential  # noqa: E402
from jentmax.samplers._state import forces_at  # noqa: E402
from jentmax.scaling import feature_scaling  # noqa: E402
from jentmax.sharding import first_devices, n_available  # noqa: E402
from jentmax.versions import device_name, versions  # noqa: E402


def dtype_of(settings: Settings):
    return jnp.float64 if settings.run.precision == "float64" else jnp.float32


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


def started(settings: Settings, scale: np.ndarray, n_devices: int) -> tuple:
    """Devices, sampler, keys and state of a batch at a cycle's start."""
    devices = first_devices(n_devices)
    chains = list(range(int(settings.run.batch_size) * n_devices))
    starts = [random_start(settings, chain) for chain in chains]
    start_keys, keys, system, weights = devices.split(
        (
            *chain_keys(settings.run.seed, chains, [0] * len(chains), 0),
            *stacked(starts, dtype_of(settings)),
        )
    )
    sampler = build_sampler(settings, build_potential(settings, scale))
    sampler, state = begin(devices, sampler, start_keys, system, weights)
    return devices, sampler, keys, state


def timed(call, repeats: int) -> tuple[float, list[float]]:
    """Seconds of the first call, and of so many more."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1:]


def step_seconds(
    settings: Settings, scale: np.ndarray, n_devices: int, steps: int, repeats: int
) -> tuple[float, list[float]]:
    """Compile time, and seconds that the steps take in each repeat."""
    devices, sampler, keys, state = started(settings, scale, n_devices)
    first, seconds = timed(
        lambda: advance(devices, sampler, keys, state, 0, steps, steps)[1:], repeats
    )
    return first - float(np.median(seconds)), seconds


def force_seconds(settings: Settings, scale: np.ndarray, steps: int, repeats: int) -> list[float]:
    """Seconds that so many evaluations of the force alone take on one device."""
    devices, sampler, _, state = started(settings, scale, 1)

    @jax.jit
    def evaluate(state):
        def own(sampler, state):
            force = partial(forces_at, sampler.potential)

            def move(_, positions):  # by nothing that counts, so that each depends on the last
                forces = force(positions, state.system, state.entropy_weight, state.neighbors)
                return positions + 1e-12 * forces

            return jax.lax.fori_loop(0, steps, move, state.system.positions)

        return devices.each(own, sampler, state)

    return timed(lambda: evaluate(state), repeats)[1]


def operations(settings: Settings, scale: np.ndarray) -> float:
    """Floating-point operations of the force on one structure, as it is written."""
    potential = build_potential(settings, scale)
    system, weights = stacked([random_start(settings, 0)], dtype_of(settings))
    system, weights = jax.tree.map(jnp.asarray, (system, weights))
    neighbors = potential.finder.build(system.positions, system.cell)

    def force(positions):
        return forces_at(potential, positions, system, weights, neighbors)

    analysis = jax.jit(force).lower(system.positions).cost_analysis()
    return float(analysis["flops"])


def measure(settings: Settings, steps: int, repeats: int, scale: np.ndarray | None = None) -> dict:
    """All that is recorded of one case; without a scale that of a preliminary run."""
    run, dtype, n_devices = settings.run, dtype_of(settings), n_available()
    with jax.enable_x64(run.precision == "float64"):
        if scale is None:
            scale = feature_scaling(settings, dtype).scale
    deviations = check_forces(settings, scale)
    with jax.enable_x64(run.precision == "float64"):
        compile_s, seconds = step_seconds(settings, scale, n_devices, steps, repeats)
        alone = seconds
        if n_devices > 1:
            _, alone = step_seconds(settings, scale, 1, steps, repeats)
        force = force_seconds(settings, scale, steps, repeats)
        needed = operations(settings, scale)
        # On a CPU a matrix product uses all cores, a fused kernel one.
        limits = {
            "matrix product": matrix_product(dtype),
            "elementwise": fused_elementwise(dtype) * n_devices,
        }
    size = int(run.batch_size)
    per_step = float(np.median(alone)) / (size * steps)
    return {
        "device": device_name(n_devices),
        "versions": versions(),
        "precision": run.precision,
        "batch_size": size,
        "n_devices": n_devices,
        "n_atoms": settings.system.atom_counts()[0],
        "twojmax": settings.descriptor.twojmax,
        "n_features": n_features(settings),
        "steps": steps,
        "compile_s": compile_s,
        "seconds": seconds,
        "seconds_on_one_device": alone,
        "structure_steps_per_s": n_devices * size * steps / float(np.median(seconds)),
        "structure_steps_per_s_on_one_device": 1 / per_step,
        "us_per_structure_step_on_one_device": 1e6 * per_step,
        "us_per_force_on_one_device": 1e6 * float(np.median(force)) / (size * steps),
        "operations_per_force": needed,
        "operations_per_s": needed * n_devices * size * steps / float(np.median(seconds)),
        "limits_operations_per_s": limits,
        "force_deviations": deviations,
    }


def show(result: dict) -> None:
    one, all_of_them = (
        result["structure_steps_per_s_on_one_device"],
        result["structure_steps_per_s"],
    )
    step, force = (
        result["us_per_structure_step_on_one_device"],
        result["us_per_force_on_one_device"],
    )
    print(f"device            {result['device']}, {result['precision']}")
    print(f"batch             {result['batch_size']} structures of {result['n_atoms']} atoms each")
    print(f"compile           {result['compile_s']:.1f} s")
    print(f"structure-steps/s {all_of_them:.0f}")
    print(
        f"on one device     {one:.0f}; on {result['n_devices']}: {all_of_them / one:.2f} times it"
    )
    print(f"step              {step:.1f} us per structure on one device")
    print(f"force alone       {force:.1f} us: the step takes {step / force:.2f} times it")
    print(f"operations        {result['operations_per_force'] / 1e6:.2f} million per force")
    for name, limit in result["limits_operations_per_s"].items():
        rate = result["operations_per_s"]
        print(f"of the limit      {rate / limit:.1%} ({name}: {limit / 1e9:.0f} billion/s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tungsten")
    parser.add_argument("--batch-size", type=int, help="on each device; 16 on a CPU, 1024 on a GPU")
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    given = parser.parse_args()
    batch_size = given.batch_size or (16 if jax.default_backend() == "cpu" else 1024)
    overrides = [f"run.batch_size={batch_size}", f"run.precision={given.precision}", *given.set]
    result = measure(load(given.preset, overrides), given.steps, given.repeats)
    show(result)
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
        print(f"written           {given.output}")


if __name__ == "__main__":
    main()
