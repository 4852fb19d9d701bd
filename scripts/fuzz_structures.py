"""Structures with labels, files of them and degenerate sets, for scripts/fuzz.py."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.db
import numpy as np
from fuzz_reading import SMALL, command
from fuzz_values import ARRAYS, KEYS, RESULTS, array, equal, result, value

if TYPE_CHECKING:
    from ase import Atoms

connect: Any = ase.db.connect


def bare_structures(rng: np.random.Generator, n: int | None = None) -> list[Atoms]:
    """Atoms alone, in cells or not."""
    from ase import Atoms

    found = []
    for _ in range(int(rng.integers(1, 5)) if n is None else n):
        n_atoms = int(rng.integers(1, 5))
        symbols = rng.choice(["W", "Fe", "H"], n_atoms).tolist()
        cell = 6 * np.eye(3) + rng.normal(scale=0.3, size=(3, 3))
        fractional = (np.arange(n_atoms)[:, None] + rng.uniform(0.1, 0.9, (n_atoms, 3))) / n_atoms
        found.append(Atoms(symbols, fractional @ cell, cell=cell, pbc=True))
    return found


def labelled_structures(rng: np.random.Generator) -> list[Atoms]:
    """Structures with values of many kinds under many names."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms, FixCartesian

    structures = bare_structures(rng)
    keys = rng.choice(len(KEYS), int(rng.integers(0, 4)), replace=False)
    arrays = rng.choice(ARRAYS, int(rng.integers(0, 3)), replace=False).tolist()
    results = rng.choice(RESULTS, int(rng.integers(0, 4)), replace=False).tolist()
    alike = rng.random() < 0.5
    for atoms in structures:
        for key in keys:
            if alike or rng.random() < 0.6:
                atoms.info[KEYS[key]] = value(rng)
        for name in arrays:
            if (alike or rng.random() < 0.6) and name not in atoms.arrays:
                atoms.arrays[name] = array(rng, name, len(atoms))
        given = {name: result(rng, name, len(atoms)) for name in results}
        if given:
            atoms.calc = SinglePointCalculator(atoms)
            atoms.calc.results = given  # any names, as from other programs' calculators
        match rng.integers(12):
            case 0:
                atoms.set_constraint(FixAtoms([0]))
            case 1:
                atoms.set_constraint(FixCartesian(0, (True, False, False)))
            case 2:
                atoms.set_pbc((True, True, False))
            case 3:
                atoms.set_celldisp([0.5, 0.0, 0.25])
    return structures


def labels(rng: np.random.Generator, folder: Path) -> str:
    """Whatever came in comes out, or the error or a note names it."""
    import ase.io
    from ase.io.formats import ioformats

    structures = labelled_structures(rng)
    writable = sorted(name for name, one in ioformats.items() if one.can_write and name not in SHOW)
    name = str(rng.choice(["extxyz", "traj", "db", "json"] if rng.random() < 0.6 else writable))
    given = [_values(atoms) for atoms in structures]
    single = ioformats[name].single
    output = folder / ("out" if single else "out.file")
    route = str(rng.choice(["export", "export", "export", "select", "describe"]))
    if route == "export":
        code, said = _exported(structures, output, name)
    else:
        source = folder / "in.traj"
        try:
            ase.io.write(source, structures)
        except Exception:
            return "result: no input"
        code, said = _commanded(route, source, output, name, len(structures))
        given = [_values(atoms) for atoms in ase.io.iread(source, ":")]
        if route == "describe":
            name, output = "", folder / "out.h5"
    if code == 2:
        _refuse_unnamed(said, given)
        return f"error: {said}"
    refuse_dropped(given, _read_back(output, name), said)
    return "result"


SHOW = {"gif", "mp4", "html", "png", "eps", "pov", "x3d", "jentmax"}
"""Pictures, which need other programs."""


def _exported(structures: Sequence[Atoms], output: Path, name: str) -> tuple[int, str]:
    from jentmax.dataset import export
    from jentmax.errors import JentmaxError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            export(structures, output, name)
        except JentmaxError as error:
            return 2, str(error)
    return 0, "\n".join(str(one.message) for one in caught)


def _commanded(route: str, source: Path, output: Path, name: str, n: int) -> tuple[int, str]:
    """By a command line; what it says."""
    if route == "describe":
        words = ["describe", str(source), "-o", f"{output.with_suffix('.h5')}", *SMALL]
    else:
        words = ["select", str(source), "--structures", str(n), "-o", str(output), *SMALL]
        words += ["--method", "random", "--output-format", name, "--duplicates", "keep"]
    code, stdout, stderr = command(*words)
    return code, stderr if code else stdout


def _values(atoms: Atoms) -> dict[str, list[Any]]:
    """Values by name, all that were given under it; results that fit their names only."""
    found: dict[str, list[Any]] = {}
    results = getattr(atoms.calc, "results", {})
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    for table in (atoms.info, arrays, results):
        for name, one in table.items():
            if one is not None:
                found.setdefault(str(name), []).append(one)
    if atoms.get_celldisp().any():
        found.setdefault("celldisp", []).append(atoms.get_celldisp().ravel())
    found.pop("pbc", None) if "pbc" not in atoms.info else None
    return found


def _refuse_unnamed(said: str, given: Sequence[dict[str, list[Any]]]) -> None:
    """An error about what a format holds names one of the values, or what ASE says."""
    from jentmax.dataset import printable

    if "cannot hold" in said:
        names = {printable(name)[:60] or "''" for values in given for name in values}
        if not any(name in said for name in (*names, "constraints", "pbc", "cell")):
            raise AssertionError(f"it names no value: {said}")


def _read_back(output: Path, name: str) -> list[Atoms]:
    """The contents of a file or folder, if ASE reads the format."""
    from jentmax.dataset import read_structures
    from jentmax.errors import JentmaxError

    paths = sorted(output.iterdir()) if output.is_dir() else [output]
    try:
        return [atoms for path in paths for atoms in read_structures(path, name or None)]
    except JentmaxError:
        return []


def refuse_dropped(given: Sequence[dict[str, list[Any]]], back: Sequence[Atoms], said: str) -> None:
    """Every value is in one of the structures, under its name or NAME_result, or is named."""
    from jentmax.dataset import printable

    if back and len(back) != len(given):
        raise AssertionError(f"{len(given)} structures went in, {len(back)} came back")
    if "and " in said and " more;" in said:
        return  # the note names the first dozen
    held = [_values(atoms) for atoms in back]
    for values in given:
        for name, ones in values.items():
            if (printable(name)[:60] or "''") in said:
                continue
            for one in ones:
                if isinstance(one, np.ndarray) and {*map(type, one.ravel().tolist())} == {
                    type(None)
                }:
                    continue  # no atom has a value
                names = (name, f"{name}_result")
                rows = [other for table in held for key in names for other in table.get(key, [])]
                if not any(equal(one, other) for other in rows):
                    raise AssertionError(f"{name} = {one!r} is lost; back are {rows}; {said!r}")


def frames(rng: np.random.Generator, folder: Path) -> str:
    """Extended XYZ, oddly spaced or cut: as many structures as there are, or an error."""
    from jentmax.dataset import read_structures
    from jentmax.errors import JentmaxError

    structures = bare_structures(rng)
    blank = [b"", b"", b"\n", b"\n\n\n", b"  \n", b"\t\n"]
    content = blank[int(rng.integers(len(blank)))] if rng.random() < 0.3 else b""
    style = int(rng.integers(4))
    for atoms in structures:
        content += _frame(atoms, rng, style) + blank[int(rng.integers(len(blank)))]
    whole = True
    match rng.integers(8):
        case 0:
            content = content.replace(b"\n", b"\r\n")
        case 1:
            content = b"\xef\xbb\xbf" + content
        case 2:
            content = content.rstrip(b"\n")
        case 3:
            kept = content[: int(rng.integers(1, len(content)))]
            whole, content = kept.split() == content.split(), kept
        case 4:  # a line is missing
            lines = content.splitlines(keepends=True)
            removed = lines.pop(int(rng.integers(len(lines))))
            whole, content = not removed.strip(), b"".join(lines)
        case 5:
            content = content.replace(b"\n", b" \t\n")
    path = folder / str(rng.choice(["set.extxyz", "set.xyz", "set.dat", "set"]))
    path.write_bytes(content)
    try:
        found = read_structures(path, "extxyz" if rng.random() < 0.3 else None)
    except JentmaxError as error:
        if whole:
            raise AssertionError(f"a whole file is refused: {error}") from error
        return f"error: {error}"
    if whole and len(found) != len(structures):
        raise AssertionError(f"{len(found)} of {len(structures)} structures were read")
    n_lines = sum(bool(line.strip(b"\xef\xbb\xbf \t\r\n")) for line in content.split(b"\n"))
    if len(found.positions) + 2 * len(found) < n_lines:
        raise AssertionError(f"{n_lines} lines gave {len(found)} structures")
    for atoms, back in zip(structures, found, strict=False):
        if whole and not np.allclose(atoms.positions, back.positions, atol=1e-6):
            raise AssertionError("the positions are others")
    return "result"


def _frame(atoms: Atoms, rng: np.random.Generator, style: int) -> bytes:
    cell = " ".join(f"{x:.8f}" for x in atoms.cell.array.ravel())
    comment = [
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3 pbc="T T T"',
        f'  config_type="a b"   Lattice="{cell}"   Properties=species:S:1:pos:R:3',
        "made by a program",
        f'Properties=species:S:1:pos:R:3 note="Å" Lattice="{cell}"',
    ][style]
    gap = str(rng.choice([" ", "   ", "\t"]))
    lines = [str(rng.choice(["", " "])) + f"{len(atoms)}", comment]
    for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
        lines.append(gap.join([symbol, *(f"{x:.8f}" for x in position)]))
    return ("\n".join(lines) + "\n").encode("latin-1" if rng.random() < 0.3 else "utf-8")


def database(rng: np.random.Generator, folder: Path) -> str:
    """ASE's databases: all key-value pairs, data and results arrive."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from jentmax.dataset import read_structures

    path = folder / f"set.{rng.choice(['db', 'json'])}"
    given: list[dict[str, list[Any]]] = []
    with connect(path, use_lock_file=False) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for atoms in bare_structures(rng):
            results = [str(name) for name in rng.choice(RESULTS[:6], 2, replace=False)]
            calculated = {name: result(rng, name, len(atoms)) for name in results}
            if rng.random() < 0.5:
                atoms.calc = SinglePointCalculator(atoms, **calculated)
            pairs = {str(KEYS[k]): value(rng) for k in rng.choice(len(KEYS), 3, replace=False)}
            data = {str(KEYS[k]): value(rng) for k in rng.choice(len(KEYS), 2, replace=False)}
            try:
                file.write(atoms, key_value_pairs=pairs, data=data)
            except Exception:  # ASE refuses the names or values
                pairs, data = {}, {"group": "a", "weights": [1.5, 2.0]}
                file.write(atoms, data=data)
    with connect(path, use_lock_file=False) as file:
        for row in file.select():
            try:
                results = getattr(row.toatoms().calc, "results", {})
            except Exception:  # a .json whose pairs have the names of arrays
                return f"error: {_refused(path)}"
            given.append({})
            for table in (row.key_value_pairs, dict(row.data), results):
                for name, one in table.items():
                    given[-1].setdefault(str(name), []).append(one)
    back = read_structures(path)
    for values, atoms in zip(given, back, strict=True):
        held = _values(atoms)
        for name, ones in values.items():
            names = (name, f"data_{name}", f"{name}_result", f"data_{name}_result")
            rows = [one for key in names for one in held.get(key, [])]
            for one in ones:
                if one is not None and not any(equal(one, other) for other in rows):
                    raise AssertionError(f"{name} = {one!r} is lost; back are {rows}")
    return "result"


def _refused(path: Path) -> str:
    """The error of a file that cannot be read.

    Raises:
        AssertionError: there is none.
    """
    from jentmax.dataset import read_structures
    from jentmax.errors import JentmaxError

    try:
        read_structures(path)
    except JentmaxError as error:
        return str(error)
    raise AssertionError("it can be read, though ASE cannot read a row")


def names(rng: np.random.Generator, folder: Path) -> str:
    """Files whose names say nothing, or something else, about their formats."""
    import ase.io

    from jentmax.dataset import read_structures
    from jentmax.errors import JentmaxError

    structures = bare_structures(rng)
    format = str(rng.choice(["extxyz", "xyz", "traj", "db", "json", "vasp", "cif", "xsf"]))
    structures = structures[:1] if format in ("vasp", "xsf") else structures
    ends = ["", ".dat", ".txt", ".xyz", ".extxyz", ".traj", ".db", ".json", ".vasp", ".cif", ".h5"]
    ends += [".POSCAR", ".xml", ".out", ".gz", "@1", " b.xyz", "é", "*.xyz", ".lammps", ".", ".npz"]
    starts = ["set", "POSCAR", "OUTCAR", "train", "vasprun", "-set", "mysql", "[set]"]
    path = folder / (str(rng.choice(starts)) + str(rng.choice(ends)))
    made = folder / f"made.{format}"
    ase.io.write(made, structures, format=format)
    made.rename(path)
    stated = rng.random() < 0.5
    try:
        found = read_structures(path, format if stated else None)
    except JentmaxError as error:
        if stated and not path.name.endswith(".gz"):
            raise AssertionError(f"the format was stated: {error}") from error
        return f"error: {error}"
    if len(found) != len(structures):
        raise AssertionError(f"{len(found)} of {len(structures)} structures of {path.name}")
    for atoms, back in zip(structures, found, strict=True):
        if sorted(atoms.numbers) != sorted(back.numbers):
            raise AssertionError(f"other atoms in {path.name}, a file of the format {format}")
    return "result"
