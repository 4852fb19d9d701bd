"""Compare sets made with each entropy estimator from the same number of force evaluations.

Each estimator anneals at a suitable K (`entropy_weight = "auto"`), with the same scale of the
descriptors. The script then measures all sets in the same way: by every estimator, by their spread
and distances, and by how accurately a sampler follows each V. It reuses existing sets in the
folder. The results are in docs/comparing-estimators.md.

    python scripts/compare_estimators.py [--structures 64] [--folder comparison]
"""

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

from jentmax.devices import device_name, quieten, use_cache, versions

quieten()
use_cache()

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

import jentmax as jm
from jentmax import report
from jentmax.samplers import Cycle, pinned

ESTIMATORS = {
    "nearest": ["entropy.kind=nearest-neighbor"],
    "soft nearest": ["entropy.kind=soft-nearest-neighbor"],
    "4th nearest": ["entropy.kind=kth-nearest-neighbor"],
    "kernel density": ["entropy.kind=kernel-density"],
    "Gaussian": ["entropy.kind=gaussian"],
    "Vendi": ["entropy.kind=vendi", "entropy.order=2"],
    "Vendi, h = 3": ["entropy.kind=vendi", "entropy.order=2", "entropy.bandwidth=3"],
}
"""The only Vendi order that is not many times slower than the other estimators."""

UNBIASED = "unbiased"

BATCH_SIZE = 16
"""Fixed batch size, so that K does not depend on the fastest one."""

REPLICAS = 32
"""Number of structures for the accuracy of the dynamics."""

TEMPERATURE = 1000
"""Temperature of the dynamics in K: that of the annealing after nine tenths."""

DISPLACEMENTS = 1e-3, 3e-3, 1e-2, 3e-2, 1e-1
"""Displacements of every atom, in Å."""

TABLED = 1e-2

ROUNDS = 25
"""Number of alternating timed runs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--structures", type=int, default=64)
    parser.add_argument("--min-distance", type=float, default=2.0, help="in Å")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("comparison"))
    parser.add_argument("--smoke", action="store_true", help="tiny sets of two estimators")
    given = parser.parse_args()

    began = time.monotonic()
    given.folder.mkdir(parents=True, exist_ok=True)
    recipes, sets = make_sets(given)
    found = {
        "device": device_name(1),
        "versions": versions(),
        "structures": given.structures,
        "min_distance": given.min_distance,
        "sets": {name: measured(sets[name], recipes) for name in recipes},
    }
    for name, values in followed(sets, recipes, 40 if given.smoke else 1000).items():
        found["sets"][name] |= values
    text = tables(found["sets"])
    print(text)
    (given.folder / "tables.md").write_text(text, encoding="utf-8")
    (given.folder / "numbers.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.folder / "comparison.png").write_bytes(report.as_png(figure(found["sets"]), 200))
    print(f"{given.folder} written after {time.monotonic() - began:.0f} s")


def make_sets(given: argparse.Namespace) -> tuple[dict[str, jm.Recipe], dict[str, jm.Dataset]]:
    """Recipes and sets by name, the unbiased ones first; all at the unbiased set's scale."""
    common = [f"batch_size={BATCH_SIZE}"]
    weight = ["entropy_weight=auto", f"min_distance={given.min_distance}"]
    estimators, preliminary, structures = ESTIMATORS, [], given.structures
    if given.smoke:
        common, structures = ["batch_size=4", "steps=20"], 8
        preliminary = ["scale.steps=100"]
        weight = ["entropy_weight=30", "quench.steps=10"]
        estimators = dict(list(ESTIMATORS.items())[::4])

    def made(name: str, preset: str, changes: list[str]) -> None:
        stem = "-".join(re.findall(r"\w+", name.lower()))
        recipes[name] = jm.recipe(preset, changes)
        sets[name] = made_or_there(
            recipes[name], given.folder / f"{stem}.h5", structures, given.seed
        )

    recipes: dict[str, jm.Recipe] = {}
    sets: dict[str, jm.Dataset] = {}
    made(UNBIASED, "tungsten-unbiased", common + preliminary)
    scale = f"scale={json.dumps(sets[UNBIASED].scale.tolist())}"
    for name, overrides in estimators.items():
        made(name, "tungsten", [*common, *overrides, *weight, scale])
    return recipes, sets


def made_or_there(recipe: jm.Recipe, path: Path, structures: int, seed: int) -> jm.Dataset:
    if not path.exists():
        began = time.monotonic()
        print(f"making {path}", end=" ", flush=True)
        jm.generate(recipe, structures=structures, output=path, seed=seed)
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    return jm.Dataset(path)


def measured(dataset: jm.Dataset, recipes: dict[str, jm.Recipe]) -> dict:
    """Properties of a set's structures."""
    features = scaled(dataset)
    replicas_last = jnp.asarray(np.moveaxis(features, 0, -1))
    return {
        "entropy_weight": float(dataset.entropy_weight[0]),
        "discarded": sum(dataset.discarded.values()),
        "entropies": {
            name: mean_and_error(jax.jit(recipe.potential.entropy)(replicas_last))
            for name, recipe in recipes.items()
            if name != UNBIASED
        },
        "spread": features.std(axis=(0, 1)).tolist(),
        "least_distance": mean_and_error(dataset.least_distance),
        "least_distance_of_all": float(dataset.least_distance.min()),
        "between": mean_and_error(between(features)),
    }


def scaled(dataset: jm.Dataset) -> np.ndarray:
    """Features over their scale, shape (n_structures, n_atoms, n_features)."""
    features = dataset.descriptors / dataset.scale
    return features.reshape(len(dataset), -1, features.shape[-1])


def between(features: np.ndarray) -> np.ndarray:
    """Mean distance of each structure's environments to the nearest one of any other structure."""
    distances = []
    for k, own in enumerate(features):
        others = np.delete(features, k, axis=0).reshape(-1, features.shape[-1])
        distances.append(KDTree(others).query(own)[0].mean())
    return np.array(distances)


def mean_and_error(values) -> list[float]:
    """Mean and its standard error."""
    return [float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))]


@pinned(False)
def followed(
    sets: dict[str, jm.Dataset], recipes: dict[str, jm.Recipe], steps: int
) -> dict[str, dict]:
    """Accuracy of a sampler at constant temperature for each V, at the K of its set.

    It starts from the set's structures and equilibrates for as many steps as it measures. V of the
    unbiased set is only the repulsion, with the same dynamics as the others.
    """
    result: dict[str, dict] = {}
    runs: dict[str, Callable[[], object]] = {}
    protocol = next(recipe.sampler for name, recipe in recipes.items() if name != UNBIASED)
    sampler = dataclasses.replace(
        protocol,
        temperature=TEMPERATURE,
        temperature_schedule=jm.schedules.constant,
        entropy_schedule=jm.schedules.constant,
    )
    common = jm.System.from_ase(sets[UNBIASED][:REPLICAS])
    for name, dataset in sets.items():
        systems = jm.System.from_ase(dataset[:REPLICAS])
        potential = recipes[name].potential.with_scale(jnp.asarray(dataset.scale))
        cycle = Cycle(potential.for_cells([systems, common]), sampler)
        weight = jnp.asarray(dataset.entropy_weight[:REPLICAS], jnp.float32)
        keys = jax.random.split(jax.random.key(0), len(weight))
        state = cycle.start(keys, systems, weight)
        state, _ = cycle.advance(keys, state, 0, steps, steps)
        state, temperature = cycle.advance(keys, state, steps, 2 * steps, steps)

        @jax.jit
        def forces(positions, potential=cycle.potential, weight=weight):
            def energy(positions):
                energies = potential.energy(
                    positions, common.cell, common.numbers, entropy_weight=weight
                )
                return jnp.sum(energies)

            return -jax.grad(energy)(positions)

        result[name] = {
            "temperature_error": mean_and_error(np.asarray(temperature) / TEMPERATURE - 1),
            "roughness": roughnesses(forces, state.system.positions),
            "roughness_at_unbiased": roughnesses(forces, common.positions),
        }

        def timed(cycle=cycle, keys=keys, state=state):
            own = jax.tree.map(jnp.copy, state)  # `advance` uses it up
            cycle.advance(keys, own, 0, steps // 20, steps)[1].block_until_ready()

        runs[name] = timed
    for name, seconds in least_times(runs).items():
        result[name]["step"] = seconds / (steps // 20) / len(sets[name].entropy_weight[:REPLICAS])
    return result


def roughnesses(forces: Callable, positions: jax.Array) -> list[list[float]]:
    """Mean and standard error of the `roughness`, by displacement."""
    directions = np.random.default_rng(0).normal(size=positions.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = jnp.asarray(directions, positions.dtype)
    return [
        mean_and_error(roughness(forces, positions, directions, displacement))
        for displacement in DISPLACEMENTS
    ]


def roughness(
    forces: Callable, positions: jax.Array, directions: jax.Array, displacement: float
) -> np.ndarray:
    """Change of the forces relative to the forces, of each replica.

    Args:
        forces: positions -> forces.
        positions: shape (n_atoms, 3, n_replicas).
        directions: unit vector for each atom.
        displacement: displacement of each atom, in Å.
    """
    before, after = (
        np.asarray(forces(positions + length * directions)) for length in (0.0, displacement)
    )
    return np.linalg.norm(after - before, axis=(0, 1)) / np.linalg.norm(before, axis=(0, 1))


def least_times(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Minimum of several times for each, in CPU seconds.

    The runs alternate, so that they are comparable on a machine with other load.
    """
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, timed in runs.items():
            start = time.process_time()
            timed()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def tables(found: dict[str, dict]) -> str:
    estimators = list(next(iter(found.values()))["entropies"])
    n_features = len(next(iter(found.values()))["spread"])
    one = [
        ["set", "K (eV)", "discarded", "least distance: mean, least (Å)", "between structures"]
        + [f"spread of {k + 1}" for k in range(n_features)]
    ]
    two = [["set", *(f"S: {name}" for name in estimators)]]
    three = [
        ["V of", "roughness at 1000 K", "roughness, unbiased structures", "T too high", "step"],
    ]
    reference = found[estimators[0]]["step"]
    tabled = DISPLACEMENTS.index(TABLED)
    for name, values in found.items():
        mean = values["least_distance"][0]
        weight = values["entropy_weight"]
        one.append(
            [
                name,
                f"{weight:.3g}",
                f"{values['discarded']}",
                f"{mean:.2f}, {values['least_distance_of_all']:.2f}",
                plus_minus(values["between"], 2),
                *(f"{spread:.2f}" for spread in values["spread"]),
            ]
        )
        entropies = values["entropies"]
        cells = {other: plus_minus(entropies[other], 2) for other in estimators}
        two.append(
            [name, *(f"**{cell}**" if other == name else cell for other, cell in cells.items())]
        )
        three.append(
            [
                name,
                plus_minus(values["roughness"][tabled], 3),
                plus_minus(values["roughness_at_unbiased"][tabled], 3),
                plus_minus([100 * value for value in values["temperature_error"]], 1) + " %",
                f"{1e6 * values['step']:.0f} µs, {values['step'] / reference:.2f}",
            ]
        )
    return "\n".join(markdown(rows) for rows in (one, two, three))


def plus_minus(value_and_error: list[float], digits: int) -> str:
    value, error = value_and_error
    return f"{value:z.{digits}f} ± {error:.{digits}f}"


def markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
    return "\n".join(lines) + "\n"


@report.styled
def figure(found: dict[str, dict]):
    from matplotlib.figure import Figure

    colors = report.set_colors(found)
    drawing = Figure(figsize=(report.DOUBLE, 5.2), layout="constrained")
    grid = drawing.subplots(2, 2, gridspec_kw={"width_ratios": [1.3, 1]})
    draw_matrix(grid[0, 0], found)
    draw_spread(grid[0, 1], found, colors)
    draw_roughness(grid[1, 0], found, colors)
    draw_temperatures(grid[1, 1], found, colors)
    report.legend(drawing, found, colors)
    return drawing


def draw_matrix(axes, found: dict[str, dict]) -> None:
    """Fraction of the largest entropy gain that each set reaches, by each estimator."""
    names = [name for name in found if name != UNBIASED]
    values = np.array([[found[name]["entropies"][other][0] for other in names] for name in names])
    least = np.array([found[UNBIASED]["entropies"][other][0] for other in names])
    gains = (values - least) / (values.max(axis=0) - least)
    axes.imshow(gains, cmap="Blues", vmin=min(0.0, gains.min()), vmax=1.6, aspect="auto")
    for row, column in np.ndindex(gains.shape):
        weight = "bold" if row == column else "normal"
        text = f"{gains[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, fontweight=weight)
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names])
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("measured by")
    axes.set_title("gain in S over the unbiased set, of the largest", loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_spread(axes, found: dict[str, dict], colors) -> None:
    for name, values in found.items():
        places = range(1, len(values["spread"]) + 1)
        axes.plot(
            places,
            values["spread"],
            **(report.line(name, colors) | report.marker(name, colors)),
            ms=3,
        )
    axes.set_xlabel("component of the descriptor")
    axes.set_ylabel("standard deviation (scaled)")
    axes.set_yscale("log")
    report.plain_logarithm(axes.yaxis)
    axes.set_title("spread of each component", loc="left")


def draw_roughness(axes, found: dict[str, dict], colors) -> None:
    for name, values in found.items():
        means, errors = np.array(values["roughness"]).T
        style = report.line(name, colors) | report.marker(name, colors)
        axes.errorbar(DISPLACEMENTS, means, errors, **style, ms=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    report.plain_logarithm(axes.xaxis)
    report.plain_logarithm(axes.yaxis)
    axes.set_xlabel("displacement of each atom (Å)")
    axes.set_ylabel("relative change of the force")
    axes.set_title("roughness at 1000 K", loc="left")


def draw_temperatures(axes, found: dict[str, dict], colors) -> None:
    for place, (name, values) in enumerate(found.items()):
        mean, error = 100 * np.array(values["temperature_error"])
        axes.barh(place, mean, xerr=error, color=colors[name], height=0.7)
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.set_xlabel("kinetic temperature above 1000 K (%)")
    axes.set_title("heat from steps across jumps", loc="left")


if __name__ == "__main__":
    main()
