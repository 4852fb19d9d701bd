"""ASE's databases (.db, .json): a row's key-value pairs and data are a structure's info.

ASE's own `ase.io.read` leaves both out, and `ase.io.write` writes no info.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

_COLUMNS = ("energy", "free_energy", "forces", "stress", "dipole", "magmoms", "magmom", "charges")
"""Results that a .db has columns for."""

_ARRAYS = (
    "numbers",
    "positions",
    "initial_magmoms",
    "initial_charges",
    "masses",
    "tags",
    "momenta",
)
"""Arrays that a row has columns for."""

_MARK = "jentmax"
"""Name of the entry in a row's data that lists which data are arrays or results."""


def read_database(path: str, name: str) -> Iterator[Atoms]:
    """All rows, their key-value pairs and data as info.

    Args:
        path: of the file.
        name: ASE's name of the format, "db" or "json".
    """
    import ase.db
    from ase.calculators.singlepoint import SinglePointCalculator

    with ase.db.connect(path, type=name, serial=True, use_lock_file=False) as database:  # pyright: ignore[reportGeneralTypeIssues]
        for row in database.select():
            atoms, data = row.toatoms(), dict(row.data)
            mark = data.pop(_MARK, {})
            for name in mark.get("arrays", ()):
                atoms.set_array(name, np.array(data.pop(name)))
            if results := {name: data.pop(name) for name in mark.get("results", ())}:
                known = getattr(atoms.calc, "results", {})
                atoms.calc = SinglePointCalculator(atoms, **known | results)
            pairs = row.key_value_pairs
            atoms.info |= pairs
            atoms.info |= {f"data_{k}" if k in pairs else k: value for k, value in data.items()}
            yield atoms


def write_database(path: str | os.PathLike[str], structures: Iterable[Atoms], name: str) -> None:
    """Rows with info as key-value pairs, or as data if ASE refuses it as a pair; arrays as data."""
    import ase.db

    with (
        warnings.catch_warnings(),
        ase.db.connect(path, type=name, serial=True, use_lock_file=False) as database,  # pyright: ignore[reportGeneralTypeIssues]
    ):
        warnings.simplefilter("ignore")  # about keys that are formulas, too
        for atoms in structures:
            pairs = {key: value for key, value in atoms.info.items() if _is_pair(key, value)}
            data: dict[str, Any] = {k: v for k, v in atoms.info.items() if k not in pairs}
            results = getattr(atoms.calc, "results", {})
            beside = {
                "arrays": {
                    k: v.tolist() if v.dtype.kind in "OU" else v
                    for k, v in atoms.arrays.items()
                    if k not in _ARRAYS
                },
                "results": {k: v for k, v in results.items() if k not in _COLUMNS},
            }
            if any(beside.values()):
                data |= beside["arrays"] | beside["results"]
                data[_MARK] = {part: list(values) for part, values in beside.items()}
            database.write(atoms, key_value_pairs=pairs, data=data)


def _is_pair(key: str, value: Any) -> bool:
    from ase.db.core import check
    from ase.db.row import AtomsRow

    if hasattr(AtomsRow, key):  # rows use this name for something else
        return False
    try:
        check({key: value})
    except ValueError:
        return False
    return not isinstance(value, float | np.floating) or bool(np.isfinite(value))
