"""Print the contents of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from jentmax.cli._streams import console
from jentmax.config import to_toml
from jentmax.dataset import printable

if TYPE_CHECKING:
    from jentmax.dataset import Dataset


def print_info(dataset: Dataset) -> None:
    """Print the contents of a data set."""
    screen = console()
    counts = np.diff(dataset.pointer)
    spread = f"{counts.min()}" if np.ptp(counts) == 0 else f"{counts.min()} to {counts.max()}"
    symbols = _symbols(dataset)
    facts = {
        "file": f"{dataset.path} ({dataset.kind}, {dataset.status})",
        "structures": f"{len(dataset)} of {spread} atoms: {symbols}",
        "descriptors": f"{dataset.descriptors.shape[1]} of each of {counts.sum()} atoms",
        "created": f"{dataset.created} on {dataset.device}",
        "versions": ", ".join(f"{name} {number}" for name, number in dataset.versions.items()),
        "seed": str(dataset.seed),
    }
    if sum(dataset.discarded.values()):
        facts["discarded"] = (
            f"{', '.join(f'{n} {why}' for why, n in dataset.discarded.items() if n)}, "
            f"{dataset.fraction_discarded:.1%} of all"
        )
    for name, value in facts.items():
        screen.print(printable(f"{name:12} {value}"), markup=False)
    columns = {
        "S (nats)": "entropy",
        "V (eV)": "energy",
        "E_rep (eV)": "repulsion",
        "K (eV)": "entropy_weight",
        "least distance (Å)": "least_distance",
        "last temperature (K)": "temperature",
    }
    table = Table("", "mean", "std", "min", "max")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, name in columns.items():
        if name in dataset.columns:
            table.add_row(label, *_spread(getattr(dataset, name)))
    if np.all(dataset.pbc):
        with np.errstate(all="ignore"):
            density = counts / np.abs(np.linalg.det(dataset.cells))
        table.add_row("density (atoms/Å^3)", *_spread(density))
    if table.rows:
        screen.print(table)
    screen.print(
        "settings\n"
        + "".join(f"    {printable(line)}\n" for line in to_toml(dataset.recipe).splitlines()),
        markup=False,
    )


def _spread(values: np.ndarray) -> list[str]:
    """Mean, standard deviation, minimum and maximum; overflow does not warn."""
    with np.errstate(all="ignore"):
        numbers = values.mean(), values.std(), values.min(), values.max()
    return [f"{number:.4g}" for number in numbers]


def _symbols(dataset: Dataset) -> str:
    from ase.data import chemical_symbols

    return ", ".join(chemical_symbols[number] for number in np.unique(dataset.numbers))
