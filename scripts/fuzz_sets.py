"""Degenerate sets, which `evaluate` and `select` must handle, for scripts/fuzz.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fuzz_reading import SMALL, command
from fuzz_structures import bare_structures

if TYPE_CHECKING:
    from ase import Atoms


def degenerate_set(rng: np.random.Generator) -> list[Atoms]:
    """Structures that have little to tell apart."""
    from ase import Atoms
    from ase.build import bulk

    match rng.integers(8):
        case 0:  # equal environments
            return [bulk("W", "bcc", 3.16, cubic=True).repeat(k) for k in (1, 1, 2)]
        case 1:  # one structure, all of whose environments are the same
            return [bulk("W", "bcc", float(rng.uniform(2.8, 3.4)))]
        case 2:  # atoms without neighbours
            return [Atoms("W", cell=[20, 20, 20], pbc=True)] * int(rng.integers(1, 4))
        case 3:  # no cell
            return [Atoms("W2", [[0, 0, 0], [0, 0, 2.5]]), Atoms("W")]
        case 4:  # two kinds of environments
            lengths = (3.0, 3.0, 3.2)
            return [bulk("Fe", "bcc", length, cubic=True) for length in lengths]
        case 5:  # a repeated one
            return bare_structures(rng, 1) * 3
        case 6:  # one atom differs a little
            structures = [bulk("W", "bcc", 3.16, cubic=True) for _ in range(3)]
            structures[1].positions[0] += 10.0 ** rng.uniform(-9, -1)
            return structures
        case _:
            return bare_structures(rng)


def degenerate(rng: np.random.Generator, folder: Path) -> str:
    """A result or an error, without NaN or inf in the output or the files."""
    import ase.io

    paths = [folder / f"{name}.extxyz" for name in ("a", "b", "c")[: int(rng.integers(1, 4))]]
    for path in paths:
        ase.io.write(path, degenerate_set(rng))
    words = [*SMALL]
    if rng.random() < 0.3:
        words += ["--set", f"descriptor.components={rng.integers(1, 6)}"]
    if rng.random() < 0.5:
        words += ["--duplicates", str(rng.choice(["drop", "keep"]))]
    if rng.random() < 0.5:
        output = folder / "out.extxyz"
        command_line = ["select", str(paths[0]), "--structures", str(rng.integers(1, 5)), "-o"]
        words += ["--method", str(rng.choice(["farthest-point", "entropy", "random"]))]
        words += ["--given", str(paths[1])] if len(paths) > 1 else []
    else:
        output = folder / "report"
        command_line = ["evaluate", *map(str, paths), "--decompositions", "5", "-o"]
        words += ["--by", str(rng.choice(["environment", "structure"]))]
        words += ["--scaling", str(rng.choice(["standard", "robust"]))]
        if rng.random() < 0.4:
            words += ["--train", str(rng.integers(1, 6)), "--test", str(rng.integers(1, 4))]
    code, stdout, stderr = command(*command_line, str(output), *words)
    if code == 2:
        if output.exists():
            raise AssertionError(f"an output exists despite the error: {stderr}")
        return f"error: {stderr}"
    tables = [path.read_text() for path in output.glob("tables.*")] if output.is_dir() else []
    for text in (stdout, stderr, *tables):
        if found := re.search(r".*(?<![\w.])[-+]?(nan|inf|NaN)(?!\w).*", text):
            raise AssertionError(f"{found.group()!r} in {text[:1500]}")
    return "result"
