"""How low each sampler comes, against the force evaluations that it takes.

The same random starts for all, the preset's V. Prints a table and writes JSON and a figure: mean V
and S, least distances, and how far apart environments of different structures are.

    python benchmarks/samplers.py [--replicas 64] [--output samplers.json] [--figure samplers.png]
"""

import argparse
import json
from pathlib import Path

from jentmax.devices import quieten, use_cache, use_every_core

quieten()
use_every_core()
use_cache()

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from scipy.spatial import KDTree  # noqa: E402

from jentmax import load  # noqa: E402
from jentmax.build import build_potential, build_quench, build_sampler  # noqa: E402
from jentmax.chains import chain_keys, random_start, stacked  # noqa: E402
from jentmax.samplers import run  # noqa: E402
from jentmax.scaling import feature_scaling  # noqa: E402
from jentmax.versions import device_name, versions  # noqa: E402

QUENCH = 300
BUDGETS = (150, 300, 500, 1000, 1500, 3000)
SAMPLERS = {
    "langevin": ([], 0),
    "langevin and quench": ([], QUENCH),
    "adam, short memory": (["sampler.kind=optax"], 0),
    "adam": (["sampler.kind=optax", "sampler.options={}"], 0),
    "adam, noise": (["sampler.kind=optax", "sampler.noise=0.05"], 0),
    "fire": (["sampler.kind=fire"], 0),
    "basin hopping": (["sampler.kind=basin-hopping"], 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--preset", default="tungsten")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()

    settings = load(given.preset)
    scale = feature_scaling(settings, jnp.float32).scale
    chains = list(range(given.replicas))
    arrays = stacked([random_start(settings, chain) for chain in chains], jnp.float32)
    system, weights = jax.tree.map(jnp.asarray, arrays)
    keys = chain_keys(settings.run.seed, chains, [0] * len(chains), 0)
    result = {
        "preset": given.preset,
        "replicas": given.replicas,
        "device": device_name(1),
        "versions": versions(),
        "samplers": {},
    }
    print(f"{'sampler':22} evaluations      V (eV)   S (nats)  least distance (Å)  between")
    for name, (overrides, quench) in SAMPLERS.items():
        rows = []
        for budget in given.budgets:
            if budget <= quench:
                continue
            own = load(given.preset, [*overrides, f"sampler.steps={budget - quench}"])
            row = {"evaluations": budget} | measured(own, scale, system, weights, keys, quench)
            rows.append(row)
            print(
                f"{name:22} {budget:11d} {row['energy']:7.1f} ± {row['energy_error']:4.1f} "
                f"{row['entropy']:10.3f} {row['least_distance']:11.3f} ± "
                f"{row['least_distance_error']:.3f} {row['between']:8.3f}",
                flush=True,
            )
            assert np.isfinite(row["energy"])
        result["samplers"][name] = rows
    if given.output:
        given.output.write_text(json.dumps(result, indent=1) + "\n")
    if given.figure:
        draw(result["samplers"]).savefig(given.figure, dpi=200)


def measured(settings, scale, system, weights, keys, quench):
    """What a cycle of all replicas comes to."""
    potential, steps = build_potential(settings, scale), settings.sampler.steps
    state = run_whole(build_sampler(settings, potential), keys, system, weights, steps)
    if quench:
        descent = build_quench(settings, potential)
        state = run_whole(descent, keys, state.system, weights, quench)

    @eqx.filter_jit
    def terms(potential, system):
        return potential.terms(system.positions, system.cell, system.species, weights)

    found = terms(potential, state.system)
    features = np.moveaxis(np.asarray(found.features), -1, 0) / scale[None, None]
    return {
        "energy": float(np.mean(found.energy)),
        "energy_error": error(found.energy),
        "entropy": float(np.mean(found.entropy)),
        "least_distance": float(np.mean(found.least_distance)),
        "least_distance_error": error(found.least_distance),
        "between": between(features),
    }


def run_whole(sampler, keys, system, weights, steps):
    state = eqx.filter_jit(sampler.init)(keys[0], system, weights)
    return run(sampler, keys[1], state, 0, steps, steps)[0]


def between(features: np.ndarray) -> float:
    """Mean distance of environments to the nearest one of any other structure."""
    distances = []
    for k, own in enumerate(features):
        others = np.delete(features, k, axis=0).reshape(-1, features.shape[-1])
        distances.append(KDTree(others).query(own)[0])
    return float(np.mean(distances))


def error(values) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def draw(samplers):
    from matplotlib.figure import Figure

    from jentmax.plotting import COLORS

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    panels = {
        "energy": "V (eV)",
        "entropy": "S (nats)",
        "least_distance": "mean least distance (Å)",
        "between": "distance to other structures (scaled)",
    }
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (key, label) in zip(grid.flat, panels.items(), strict=True):
        for number, (name, rows) in enumerate(samplers.items()):
            axes.plot(
                [row["evaluations"] for row in rows],
                [row[key] for row in rows],
                marker="osD^vPX"[number],
                markersize=4,
                linewidth=1,
                color=(*COLORS, "#000000")[number % 7],
                label=name,
            )
        axes.set_xscale("log")
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.2)
    # Those that go nowhere near are outside.
    lows = [row["energy"] for rows in samplers.values() for row in rows]
    grid.flat[0].set_ylim(min(lows) - 50, min(lows) + 1000)
    for axes in grid[1]:
        axes.set_xlabel("force evaluations", fontsize=8)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=7, frameon=False)
    return figure


if __name__ == "__main__":
    main()
