"""Cost, compile time and memory of a sampler step for numbers of atoms, replicas and twojmax.

    python benchmarks/scaling.py [--panel atoms ...] [--output result.json] [--figure result.png]
    python benchmarks/scaling.py --from result.json ... --figure result.png

The benchmark runs on one device: one core or one GPU. Each repeat runs the same full Langevin steps
in one compiled call, which rebuilds neighbour lists a few times; the result is the median. Memory
is that of the compiled program: arguments, results and temporaries. Features are not scaled, which
costs the same. Before timing, float32 forces are compared with float64 and with central
differences.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from throughput import (
    Batch,
    advanced,
    check_forces,
    copied,
    is_double,
    jax,
    jm,
    size_of,
    started,
    timed,
)

from jentmax.devices import device_name, versions
from jentmax.samplers import is_out_of_memory, pinned

PANELS = {
    "atoms": [39, 128, 400, 1000, 2000, 5000, 10_000],
    "replicas": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    "twojmax": [2, 3, 4, 5, 6, 7, 8],
}
SMOKE = {"atoms": [39, 1000], "replicas": [1, 16], "twojmax": [2, 3]}
REPLICAS = {"cpu": {"atoms": 16, "twojmax": 4}, "gpu": {"atoms": 64, "twojmax": 256}}
"""Number of replicas, in panels that do not vary it."""

ALONE_FROM = 1000
"""Number of atoms above which one structure is enough for a device."""

WARM_UP = 30
"""Untimed steps after the random start."""

LEAST_STEPS = {"AllPairs": 5, "NeighborList": 60}
"""Minimum number of timed steps, by neighbour search; lists are rebuilt about every ten steps."""

COLUMNS = (
    f"{'':8} {'atoms':>6} {'replicas':>8} {'twojmax':>7} {'finder':>12} {'rebuilt':>7} "
    f"{'us/structure':>12} {'us/atom':>8} {'MiB/replica':>11} {'compile':>9}"
)


def cases(panel: str, values: list[int], kind: str) -> list[tuple[list[str], int]]:
    """Changes of the preset for each point of a panel, and replicas."""
    if panel == "replicas":
        return [([], value) for value in values]
    together = REPLICAS[kind][panel]
    if panel == "twojmax":
        every = 'descriptor.components="all"'
        return [([f"descriptor.twojmax={value}", every], together) for value in values]
    few = [value for value in values if value < ALONE_FROM]
    return [
        ([f"start.formula=W{value}"], replicas)
        for replicas, some in ((together, few), (1, values))
        for value in some
    ]


def measured(recipe: jm.Recipe, seconds: float, repeats: int) -> dict:
    """Measure time, compile time and memory of a step at one point."""
    replicas, n_features = size_of(recipe), recipe.potential.descriptor.n_features
    cycle, keys, state = started(recipe, np.ones(n_features))
    began = time.perf_counter()
    advanced(Batch(cycle, keys, state), 0, 0, 1)
    compile_s = time.perf_counter() - began

    state, _ = cycle.advance(keys, state, 0, WARM_UP, recipe.steps)
    finder = type(state.neighbors.finder).__name__
    steps = LEAST_STEPS[finder]

    def run(steps: int) -> jm.State:
        return advanced(Batch(cycle, keys, state), WARM_UP, WARM_UP + steps, recipe.steps)

    _, [few] = timed(lambda: run(steps), 1)
    steps = min(max(round(seconds * steps / few), steps), 1000)
    while (after := run(steps)).neighbors.finder != state.neighbors.finder:
        state = after  # its lists overflowed: continue from the current positions with larger ones
    rebuilt = rebuilds(Batch(cycle, keys, state), steps, recipe.steps)
    _, times = timed(lambda: run(steps), repeats)
    per_structure = float(np.median(times)) / (steps * replicas)
    n_atoms = state.system.n_atoms
    n_bytes = cycle.n_bytes(keys, state.system, state.entropy_weight)
    return {
        "n_atoms": n_atoms,
        "replicas": replicas,
        "twojmax": recipe.potential.descriptor.twojmax,
        "n_features": n_features,
        "finder": finder,
        "capacity": getattr(state.neighbors.finder, "capacity", None),
        "steps": steps,
        "rebuilds": rebuilt,
        "compile_s": compile_s,
        "seconds": times,
        "us_per_structure_step": 1e6 * per_structure,
        "us_per_atom_step": 1e6 * per_structure / n_atoms,
        "bytes": n_bytes,
        "bytes_per_replica": n_bytes / replicas,
    }


def rebuilds(batch: Batch, steps: int, cycle_steps: int) -> int | None:
    """Number of list rebuilds in these steps; None without lists."""
    if batch.state.neighbors.table is None:
        return None
    count, state = 0, copied(batch.state)
    for step in range(WARM_UP, WARM_UP + steps):
        before = np.array(state.neighbors.table.reference)
        state, _ = batch.cycle.advance(batch.keys, state, step, step + 1, cycle_steps)
        count += not np.array_equal(before, np.asarray(state.neighbors.table.reference))
    return count


def row(panel: str, point: dict) -> str:
    """A line of the table."""
    rebuilt = "-" if point["rebuilds"] is None else f"{point['rebuilds']}/{point['steps']}"
    return (
        f"{panel:8} {point['n_atoms']:6} {point['replicas']:8} {point['twojmax']:7} "
        f"{point['finder']:>12} {rebuilt:>7} {point['us_per_structure_step']:12.1f} "
        f"{point['us_per_atom_step']:8.2f} {point['bytes_per_replica'] / 2**20:11.2f} "
        f"{point['compile_s']:7.1f} s"
    )


def measure_all(given: argparse.Namespace) -> dict:
    """Measure the requested panels; write results after each one, since later ones may be slow."""
    precision = f"precision={given.precision}"
    recipe = jm.recipe("tungsten", [precision])
    result: dict = {
        "device": device_name(1),
        "versions": versions(),
        "precision": given.precision,
        "force_deviations": check_forces(recipe, np.ones(recipe.potential.descriptor.n_features)),
    }
    known: dict[str, dict] = {}  # some points belong to two panels
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    print(f"{result['device']}, {given.precision}\n{COLUMNS}", flush=True)
    for panel in given.panel:
        result[panel] = []
        values = (SMOKE if given.smoke else PANELS)[panel]
        for overrides, replicas in cases(panel, values, kind):
            changes = [precision, *overrides, f"batch_size={replicas}"]
            recipe = jm.recipe("tungsten", changes)
            name = json.dumps(recipe.to_plain())
            try:
                if name not in known:
                    with pinned(is_double(recipe)):
                        known[name] = measured(recipe, given.seconds, given.repeats)
            except jax.errors.JaxRuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                print(f"{panel:8} {' '.join(overrides)}, {replicas} replicas: out of memory")
                continue
            result[panel].append(known[name])
            print(row(panel, known[name]), flush=True)
        if given.output:
            write(result, given.output)
    return result


def write(result: dict, path: Path) -> None:
    path.write_text(json.dumps(result, indent=2) + "\n")


def draw(result: dict, path: Path) -> None:
    """Cost against atoms, replicas and twojmax, and memory against atoms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 7.5), layout="constrained")
    grid = figure.subplots(2, 2)
    draw_atoms(grid[0, 0], result.get("atoms", []), "us_per_atom_step")
    grid[0, 0].set(title="Number of atoms", ylabel="time per atom and step (µs)")
    draw_costs(grid[0, 1], result.get("replicas", []), "replicas")
    grid[0, 1].set_xscale("log", base=2)
    grid[0, 1].set(title="Replicas side by side", xlabel="replicas on the device")
    draw_costs(grid[1, 0], result.get("twojmax", []), "twojmax")
    grid[1, 0].set(title="Descriptor's order, all components", xlabel="twojmax")
    draw_memory(grid[1, 1], result)
    for axes in grid.flat:
        if not np.all(np.isfinite(axes.dataLim.get_points())):  # a panel that was not measured
            axes.set_visible(False)
            continue
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(which="major", alpha=0.3)
        axes.grid(which="minor", alpha=0.1)
        axes.legend(fontsize="small")
        low, high = axes.get_ylim()
        if high / low < 30:  # powers of ten alone would be next to no numbers
            axes.yaxis.set_minor_formatter("{x:g}")
            axes.tick_params(axis="y", which="minor", labelsize="x-small")
    figure.suptitle(f"A Langevin step on {result['device']}, {result['precision']}")
    figure.savefig(path, dpi=130)


def replicas_of(points: list[dict]) -> str:
    """Number of replicas, in words."""
    count = points[0]["replicas"]
    return "1 replica" if count == 1 else f"{count} replicas"


def draw_atoms(axes, points: list[dict], key: str, unit: float = 1) -> None:
    """A line for each number of replicas; hollow where there are neighbour lists."""
    for number, replicas in enumerate(sorted({point["replicas"] for point in points})):
        line = [point for point in points if point["replicas"] == replicas]
        x, y = [p["n_atoms"] for p in line], [p[key] / unit for p in line]
        color = f"C{number}"
        axes.plot(x, y, "-o", color=color, markerfacecolor="white", label=replicas_of(line))
        full = [p["finder"] == "AllPairs" for p in line]
        axes.plot(np.array(x)[full], np.array(y)[full], "o", color=color)
    axes.plot([], [], "o", color="gray", label="all pairs")
    axes.plot([], [], "o", color="gray", markerfacecolor="white", label="neighbour list")
    axes.set_xscale("log")
    axes.set_xlabel("atoms")


def draw_costs(axes, points: list[dict], key: str) -> None:
    """Time per structure against one number of 39 atoms."""
    x, y = [p[key] for p in points], [p["us_per_structure_step"] for p in points]
    label = "" if not points else f"{points[0]['n_atoms']} atoms"
    if points and key != "replicas":
        label = f"{label}, {replicas_of(points)}"
    axes.plot(x, y, "-o", color="C2" if key == "replicas" else "C3", label=label)
    axes.set_ylabel("time per structure and step (µs)")


def draw_memory(axes, result: dict) -> None:
    """Memory per replica against the number of atoms, with the points of the other panels."""
    mebi = 2**20
    draw_atoms(axes, result.get("atoms", []), "bytes_per_replica", mebi)
    for panel, color, marker in (("replicas", "C2", "x"), ("twojmax", "C3", "s")):
        points = result.get(panel, [])
        if not points:
            continue
        x, y = [p["n_atoms"] for p in points], [p["bytes_per_replica"] / mebi for p in points]
        values = [p[panel] for p in points]
        label = f"twojmax {values[0]} to {values[-1]}, {replicas_of(points)}"
        if panel == "replicas":
            label = f"{values[0]} to {values[-1]} replicas"
        axes.plot(x, y, marker, color=color, markersize=4, label=label)
        for place in (0, -1) if panel == "twojmax" else ():
            at = x[place], y[place]
            axes.annotate(
                str(values[place]), at, (6, -3), textcoords="offset points", fontsize="small"
            )
    axes.set(title="Memory", ylabel="memory per replica (MiB)")


def merged(paths: list[Path]) -> dict:
    """Merge results from several files, with panels measured separately on the same device."""
    results = [json.loads(path.read_text()) for path in paths]
    kinds = {(result["device"], result["precision"]) for result in results}
    if len(kinds) > 1:
        raise SystemExit(f"these are not of one device and precision: {sorted(kinds)}")
    return {name: value for result in results for name, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each repeat, about")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--panel", nargs="+", choices=PANELS, default=list(PANELS))
    parser.add_argument("--smoke", action="store_true", help="few points, to test this program")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--figure", type=Path, help="image to draw")
    parser.add_argument(
        "--from", dest="sources", nargs="+", type=Path, help="draw these JSON files; measure none"
    )
    given = parser.parse_args()
    if given.sources and not given.figure:
        parser.error("--from needs --figure")
    if given.smoke:
        given.seconds, given.repeats = min(given.seconds, 0.05), min(given.repeats, 2)
    result = merged(given.sources) if given.sources else measure_all(given)
    if given.output:
        write(result, given.output)
        print(f"written {given.output}")
    if given.figure:
        draw(result, given.figure)
        print(f"written {given.figure}")


if __name__ == "__main__":
    main()
