"""Structure-steps per second of the full sampler step, its compile time, and its bottleneck.

    python benchmarks/throughput.py [--batch-size 16] [--precision float32] [--output result.json]

Each worker (a core or a GPU) runs `--steps` steps of its replicas in one compiled call, in a
separate thread; the result is the median of `--repeats` calls. Before timing, the forces are
compared with float64 forces and with central differences.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from jentmax.devices import compiler_options, device_name, quieten, versions, workers

quieten()

import jax
import jax.numpy as jnp
import numpy as np
from limits import fused_elementwise, matrix_product

import jentmax as jm
from jentmax.samplers import Cycle, default_batch_size, pinned

SEED = 0


class Batch(NamedTuple):
    """A batch at the start of a cycle, on one worker."""

    cycle: Cycle
    keys: Any
    state: Any


def is_double(recipe: jm.Recipe) -> bool:
    return recipe.precision == "float64"


def dtype_of(recipe: jm.Recipe) -> Any:
    return jnp.float64 if is_double(recipe) else jnp.float32


def size_of(recipe: jm.Recipe) -> int:
    """Replicas on each worker."""
    return recipe.batch_size or default_batch_size()


def starts(recipe: jm.Recipe, chains: range) -> jm.System:
    """Random starts of chains as replicas, in JAX's current default precision."""
    return jm.System.stack([recipe.start.draw(SEED, 0, chain, 0) for chain in chains])


def potential_of(recipe: jm.Recipe, scale: np.ndarray) -> jm.Potential:
    """V with a scale, for all cells of the recipe."""
    potential = recipe.potential.with_scale(jnp.asarray(scale))
    return potential.for_cells(recipe.start.extremes(0))


def fitted_scale(recipe: jm.Recipe) -> np.ndarray:
    """Typical values of the features, from a preliminary run."""
    with pinned(is_double(recipe)):
        systems = starts(recipe, range(recipe.scale.replicas))
        key = jax.random.key(SEED)
        potential = jm.fit_scale(recipe.potential, systems, key=key, fit=recipe.scale)
        return np.asarray(potential.scale)


def check_forces(recipe: jm.Recipe, scale: np.ndarray) -> dict[str, float]:
    """Largest deviations of float32 and of central differences, relative to the largest force."""
    weight = float(np.max(recipe.entropy_weight))

    def energy_and_forces() -> tuple:
        potential, system = potential_of(recipe, scale), starts(recipe, range(1))[0]

        def energy(positions):
            return potential.energy(positions, system.cell, system.numbers, weight)

        positions = system.positions
        return jax.jit(energy), positions, np.asarray(-jax.jit(jax.grad(energy))(positions))

    with pinned(False):
        _, _, single = energy_and_forces()
    with pinned(True):
        energy, positions, double = energy_and_forces()
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


def started(recipe: jm.Recipe, scale: np.ndarray, number: int = 0) -> Batch:
    """The batch of a worker at a cycle's start, on the device of the context."""
    size = size_of(recipe)
    chains = range(number * size, (number + 1) * size)
    systems = starts(recipe, chains)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(SEED), jnp.asarray(chains))
    weights = jnp.full(size, np.max(recipe.entropy_weight), systems.positions.dtype)
    cycle = Cycle(potential_of(recipe, scale), recipe.sampler)
    return Batch(cycle, keys, cycle.start(keys, systems, weights))


@jax.jit
def copied(state: Any) -> Any:
    return jax.tree.map(jnp.copy, state)


def advanced(batch: Batch, first: int, last: int, steps: int) -> Any:
    """The state after steps of a batch, whose own state stays as it is."""
    state = copied(batch.state)  # `advance` uses it up
    return batch.cycle.advance(batch.keys, state, first, last, steps)[0]


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, list[float]]:
    """Seconds of the first call and of each further call."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1:]


def step_seconds(
    recipe: jm.Recipe, scale: np.ndarray, n_workers: int, steps: int, repeats: int
) -> tuple[float, list[float]]:
    """Compile time, and seconds of the steps in each repeat on some workers."""

    def prepare(number: int) -> tuple[float, Batch]:
        with pinned(is_double(recipe)), jax.default_device(devices[number]):
            batch = started(recipe, scale, number)
            return timed(lambda: advanced(batch, 0, steps, steps), 0)[0], batch

    def run(batch, device):
        with pinned(is_double(recipe)), jax.default_device(device):
            jax.block_until_ready(advanced(batch, 0, steps, steps))

    devices = workers(n_workers)
    prepared = [prepare(number) for number in range(n_workers)]  # the first one compiles
    batches = [batch for _, batch in prepared]
    with ThreadPoolExecutor(n_workers) as threads:
        _, seconds = timed(lambda: list(threads.map(run, batches, devices)) and (), repeats)
    return prepared[0][0] - float(np.median(seconds)), seconds


def force_seconds(recipe: jm.Recipe, scale: np.ndarray, steps: int, repeats: int) -> list[float]:
    """Seconds of some evaluations of only the force on one worker."""
    batch = started(recipe, scale)

    def evaluate(state):
        def move(_, positions):  # by nothing that counts, so that each depends on the last
            return positions - 1e-12 * slope(batch.cycle.potential, state, positions)

        return jax.lax.fori_loop(0, steps, move, state.system.positions)

    compiled = jax.jit(evaluate, compiler_options=compiler_options(jax.default_backend()))
    return timed(lambda: compiled(batch.state), repeats)[1]


def slope(potential: jm.Potential, state: Any, positions: jax.Array) -> jax.Array:
    """Gradient of V of all replicas at given positions instead of those of the state."""
    system, weight, neighbors = state.system, state.entropy_weight, state.neighbors

    def total(positions):
        return potential.energy(positions, system.cell, system.numbers, weight, neighbors).sum()

    return jax.grad(total)(positions)


def operations(recipe: jm.Recipe, scale: np.ndarray) -> float:
    """Floating-point operations of the force on one structure, before optimisation."""
    cycle, _, state = started(recipe, scale)
    one = jax.tree.map(lambda array: array[..., :1], state)

    def force(positions):
        return slope(cycle.potential, one, positions)

    costs = jax.jit(force).lower(one.system.positions).cost_analysis()
    assert costs is not None, "XLA knows no costs"
    return float(costs["flops"])


def measure(
    recipe: jm.Recipe, steps: int, repeats: int, scale: np.ndarray | None = None
) -> dict[str, Any]:
    """All results of one case; without a scale, uses that of a preliminary run."""
    dtype, n_workers = dtype_of(recipe), len(workers())
    if scale is None:
        scale = fitted_scale(recipe)
    deviations = check_forces(recipe, scale)
    compile_s, alone = step_seconds(recipe, scale, 1, steps, repeats)
    seconds = alone
    if n_workers > 1:
        _, seconds = step_seconds(recipe, scale, n_workers, steps, repeats)
    with pinned(is_double(recipe)):
        force = force_seconds(recipe, scale, steps, repeats)
        needed = operations(recipe, scale)
        # On a CPU, a matrix product uses all cores and a fused kernel only one.
        limits = {
            "matrix product": matrix_product(dtype),
            "elementwise": fused_elementwise(dtype) * n_workers,
        }
    size = size_of(recipe)
    per_step = float(np.median(alone)) / (size * steps)
    descriptor = recipe.potential.descriptor
    return {
        "device": device_name(n_workers),
        "versions": versions(),
        "precision": recipe.precision,
        "batch_size": size,
        "n_devices": n_workers,
        "n_atoms": recipe.start.draw(SEED, 0, 0, 0).n_atoms,
        "twojmax": getattr(descriptor, "twojmax", None),
        "n_features": descriptor.n_features,
        "steps": steps,
        "compile_s": compile_s,
        "seconds": seconds,
        "seconds_on_one_device": alone,
        "structure_steps_per_s": n_workers * size * steps / float(np.median(seconds)),
        "structure_steps_per_s_on_one_device": 1 / per_step,
        "us_per_structure_step_on_one_device": 1e6 * per_step,
        "us_per_force_on_one_device": 1e6 * float(np.median(force)) / (size * steps),
        "operations_per_force": needed,
        "operations_per_s": needed * n_workers * size * steps / float(np.median(seconds)),
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="tungsten", help="or a TOML file")
    parser.add_argument("--batch-size", type=int, help="on each device; 16 on a CPU, 1024 on a GPU")
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    given = parser.parse_args()
    batch_size = given.batch_size or default_batch_size()
    overrides = [f"batch_size={batch_size}", f"precision={given.precision}", *given.set]
    result = measure(jm.recipe(given.preset, overrides), given.steps, given.repeats)
    show(result)
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
        print(f"written           {given.output}")


if __name__ == "__main__":
    main()
