"""Cost and memory of a sampler step against atoms, replicas and twojmax, on one device.

    python benchmarks/scaling.py [--output result.json] [--figure scaling.png] [--smoke]
    python benchmarks/scaling.py --from result.json --figure scaling.png

Times are medians of full Langevin steps in one compiled call; memory is what the compiled program
asks for. The forces are compared with float64 and with central differences first.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import throughput
from throughput import check_forces, dtype_of, jax, started

from jentmax import load
from jentmax.build import build_sampler
from jentmax.config.settings import n_features
from jentmax.cycles import advance
from jentmax.samplers._state import _run
from jentmax.versions import device_name, versions

ALL = 'descriptor.components="all"'
SMOKE = {"atoms": [39, 600], "replicas": [1, 4], "twojmax": [2, 3]}
FULL = {
    "atoms": [39, 128, 400, 1000, 2000, 5000, 10_000],
    "replicas": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    "twojmax": [2, 3, 4, 5, 6, 7, 8],
}


def point(panel: str, value: int, on_gpu: bool) -> tuple[list[str], int]:
    """Settings of one point of a panel, and replicas."""
    if panel == "atoms":
        return [f"system.n_atoms={value}"], (64 if on_gpu else 16) if value < 1000 else 1
    if panel == "replicas":
        return [], value
    return [f"descriptor.twojmax={value}", ALL], 256 if on_gpu else 4


def measured(overrides: list[str], replicas: int, seconds: float, repeats: int) -> dict:
    """Time and memory of a step."""
    settings = load("tungsten", [*overrides, f"run.batch_size={replicas}"])
    scale = np.ones(n_features(settings))
    devices, sampler, keys, state = started(settings, scale, 1)

    def run(steps: int):
        return advance(devices, sampler, keys, state, 0, steps, 3000)[1:]

    began = time.perf_counter()
    jax.block_until_ready(run(1))
    compile_s = time.perf_counter() - began
    _, [few] = throughput.timed(lambda: run(2), 1)
    # Enough steps that a neighbour list is built anew a few times.
    steps = int(np.clip(seconds * 2 / few, 2, 1000))
    sampler, state, _ = advance(devices, sampler, keys, state, 0, 1, 3000)
    _, times = throughput.timed(lambda: run(steps), repeats)
    per_structure = float(np.median(times)) / (steps * replicas)
    n_atoms = settings.system.atom_counts()[0]
    return {
        "n_atoms": n_atoms,
        "replicas": replicas,
        "twojmax": settings.descriptor.twojmax,
        "finder": type(sampler.potential.finder).__name__,
        "compile_s": compile_s,
        "steps": steps,
        "seconds": times,
        "us_per_structure_step": 1e6 * per_structure,
        "us_per_atom_step": 1e6 * per_structure / n_atoms,
        "bytes_per_replica": memory(settings, scale, replicas) / replicas,
    }


def memory(settings, scale: np.ndarray, replicas: int) -> float:
    """Bytes that the program of a few steps asks for on one device."""
    _, sampler, keys, state = started(settings, scale, 1)
    sampler = build_sampler(settings, sampler.potential)
    numbers = [jax.numpy.asarray(number, jax.numpy.int32) for number in (0, 2, 2)]

    def own(array):  # without the copies of an idle device
        return array if array.ndim == 0 else array[..., :replicas]

    keys, state = jax.tree.map(own, (keys, state))
    analysis = _run.lower(sampler, keys, state, *numbers).compile().compiled.memory_analysis()
    return (
        analysis.temp_size_in_bytes
        + analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
    )


def draw(result: dict, path: Path) -> None:
    """Time against atoms, replicas and twojmax, and memory against all three."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), constrained_layout=True)
    panels = {
        "atoms": ("n_atoms", "us_per_atom_step", "atoms", "µs per atom and step"),
        "replicas": ("replicas", "us_per_structure_step", "replicas", "µs per structure and step"),
        "twojmax": ("twojmax", "us_per_structure_step", "twojmax", "µs per structure and step"),
    }
    for axis, (panel, (x, y, label, unit)) in zip(axes.flat, panels.items(), strict=False):
        points = result[panel]
        axis.plot([p[x] for p in points], [p[y] for p in points], "o-", color="C0")
        axis.set_xlabel(label)
        axis.set_ylabel(unit)
        if panel == "twojmax":
            axis.set_yscale("log")
        else:
            axis.set_xscale("log", base=10 if panel == "atoms" else 2)
            axis.set_ylim(bottom=0)
    last = axes.flat[-1]
    for panel, (x, _, label, _) in panels.items():
        points = result[panel]
        sizes = [p["bytes_per_replica"] / 2**20 for p in points]
        last.plot([p[x] for p in points], sizes, "o-", label=f"against {label}")
    last.set_xscale("log")
    last.set_yscale("log")
    last.set_xlabel("atoms, replicas or twojmax")
    last.set_ylabel("MiB per replica")
    last.legend()
    figure.suptitle(f"{result['device']}, {result['precision']}, one device")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each repeat, about")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--panel", nargs="+", choices=FULL, default=list(FULL))
    parser.add_argument(
        "--smoke", action="store_true", help="few points, for tests of this program"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--figure", type=Path, help="image to draw")
    parser.add_argument("--from", dest="source", type=Path, help="JSON file to draw again")
    given = parser.parse_args()
    if given.source:
        draw(json.loads(given.source.read_text()), given.figure)
        return
    precision = f"run.precision={given.precision}"
    settings = load("tungsten", [precision])
    check_forces(settings, np.ones(n_features(settings)))
    result: dict = {
        "device": device_name(1),
        "versions": versions(),
        "precision": given.precision,
    }
    on_gpu = jax.default_backend() != "cpu"
    print(f"{result['device']}, {given.precision}, one device")
    print(f"{'':9} {'':>6} {'finder':>13} {'us/step':>10} {'us/atom':>8} {'MiB':>8} {'compile':>8}")
    with jax.enable_x64(dtype_of(settings) == jax.numpy.float64):
        for panel in given.panel:
            result[panel] = []
            for value in (SMOKE if given.smoke else FULL)[panel]:
                overrides, replicas = point(panel, value, on_gpu)
                found = measured([precision, *overrides], replicas, given.seconds, given.repeats)
                result[panel].append(found)
                print(
                    f"{panel:9} {value:6} {found['finder']:>13} "
                    f"{found['us_per_structure_step']:10.1f} {found['us_per_atom_step']:8.2f} "
                    f"{found['bytes_per_replica'] / 2**20:8.2f} {found['compile_s']:6.1f} s",
                    flush=True,
                )
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
        print(f"written {given.output}")
    if given.figure:
        draw(result, given.figure)


if __name__ == "__main__":
    main()
