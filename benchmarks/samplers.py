"""Mean V that each sampler reaches, as a function of the number of force evaluations.

All samplers use the same random starts and the preset's V. The script prints a table and writes
JSON and a figure: mean V and S, least distances, and the distance from each environment to the
nearest one in another structure.

    python benchmarks/samplers.py [--replicas 64] [--output samplers.json] [--figure samplers.png]
    python benchmarks/samplers.py --from samplers.json --figure samplers.png
"""

import argparse
import json
from pathlib import Path

from jentmax.devices import device_name, quieten, use_cache, versions, workers

quieten()
use_cache()

import jax
import numpy as np
from scipy.spatial import KDTree

import jentmax as jm

SEED = 0
QUENCH = 300
BUDGETS = (150, 300, 600, 1500, 3300)
"""Of the presets "tungsten-fast" (the third) and "tungsten", annealing and quench (the last)."""

SAMPLERS = {
    "langevin": ([], 0),
    "langevin, quench": ([], QUENCH),
    "adam": (["sampler.kind=descent", "sampler.options={}"], 0),
    "adam, short memory": (["sampler.kind=descent"], 0),
    "adam, short memory, noise": (["sampler.kind=descent", "sampler.noise=0.08"], 0),
    "fire": (["sampler.kind=fire"], 0),
    "basin hopping": (["sampler.kind=basin-hopping"], 0),
}
"""Changes of the preset for each sampler, and steps of the following quench."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--samplers", choices=SAMPLERS, nargs="+", default=SAMPLERS)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--preset", default="tungsten")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--from", dest="made", type=Path, help="draw what this JSON holds")
    given = parser.parse_args()
    result = json.loads(given.made.read_text()) if given.made else compared(given)
    if given.output:
        given.output.write_text(json.dumps(result, indent=1) + "\n")
    if given.figure:
        draw(result["samplers"]).savefig(given.figure, dpi=200)


def compared(given):
    """Run every sampler with every budget that allows at least one step."""
    recipe = jm.recipe(given.preset)
    starts = jm.System.stack(
        [recipe.start.draw(SEED, 0, chain, 0) for chain in range(given.replicas)]
    )
    key = jax.random.key(SEED)
    potential = jm.fit_scale(recipe.potential, starts, key=key, fit=recipe.scale)
    potential = potential.for_cells(starts)
    result = {
        "preset": given.preset,
        "replicas": given.replicas,
        "device": device_name(len(workers())),
        "versions": versions(),
        "samplers": {},
    }
    print(
        f"{'sampler':25} {'evaluations':>11} {'V (eV)':>16} {'S (nats)':>9} "
        f"{'least distance (Å)':>19} {'to other structures':>20}"
    )
    for name in given.samplers:
        (overrides, quench), rows = SAMPLERS[name], []
        own = jm.recipe(given.preset, overrides)
        for budget in given.budgets:
            if budget <= quench:
                continue
            cycles = [(own.sampler, budget - quench)]
            if quench:
                cycles.append((jm.Quench().sampler, quench))
            row = {"evaluations": budget} | measured(
                cycles, potential, starts, key, float(np.max(own.entropy_weight))
            )
            rows.append(row)
            print(
                f"{name:25} {budget:11d} {row['energy']:9.1f} ± {row['energy_error']:4.1f} "
                f"{row['entropy']:9.3f} {row['least_distance']:11.3f} ± "
                f"{row['least_distance_error']:.3f} {row['between']:12.3f} ± "
                f"{row['between_error']:.3f}",
                flush=True,
            )
            assert np.isfinite(row["energy"])
        result["samplers"][name] = rows
    return result


def measured(cycles, potential, starts, key, entropy_weight):
    """Results of successive cycles of all replicas."""
    systems, info = starts, None
    for sampler, steps in cycles:
        systems, info = jm.run(
            potential, sampler, systems, key=key, steps=steps, entropy_weight=entropy_weight
        )
    assert info is not None, "no cycle"
    features = jax.jit(
        lambda positions: potential.terms(positions, systems.cell, systems.numbers).features
    )(systems.positions)
    distances = between(np.moveaxis(np.asarray(features), -1, 0) / np.asarray(potential.scale))
    energy, entropy, least_distance = map(
        np.asarray, (info.energy, info.entropy, info.least_distance)
    )
    return {
        "energy": float(np.mean(energy)),
        "energy_error": error(energy),
        "entropy": float(np.mean(entropy)),
        "least_distance": float(np.mean(least_distance)),
        "least_distance_error": error(least_distance),
        "between": float(np.mean(distances)),
        "between_error": error(distances),
    }


def between(features: np.ndarray) -> np.ndarray:
    """Mean distance from a structure's environments to the nearest in any other, per structure.

    One mean per structure, because environments of a structure are not independent.
    """
    return np.array(
        [
            KDTree(np.delete(features, k, axis=0).reshape(-1, features.shape[-1])).query(own)[0]
            for k, own in enumerate(features)
        ]
    ).mean(axis=1)


def error(values) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def draw(samplers):
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from jentmax.report import COLORS

    figure = Figure(figsize=(7, 4.8), layout="constrained")
    panels = {
        "energy": "V (eV)",
        "entropy": "S (nats)",
        "least_distance": "least distance (Å)",
        "between": "distance to other structures",
    }
    budgets = sorted({row["evaluations"] for rows in samplers.values() for row in rows})
    lowest = min(row["energy"] for rows in samplers.values() for row in rows)
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (key, label) in zip(grid.flat, panels.items(), strict=True):
        for number, (name, rows) in enumerate(samplers.items()):
            # Leave out structures far from any minimum; they would dominate the axis.
            near = [row for row in rows if row["energy"] < lowest + 1000]
            axes.errorbar(
                [row["evaluations"] for row in near],
                [row[key] for row in near],
                [row.get(f"{key}_error", 0) for row in near],
                marker="osD^vPX"[number],
                markersize=4,
                linewidth=1,
                color=COLORS[number],
                label=name,
            )
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{budget}" for budget in budgets])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.2)
    for axes in grid[1]:
        axes.set_xlabel("force evaluations", fontsize=8)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=7, frameon=False)
    return figure


if __name__ == "__main__":
    main()
