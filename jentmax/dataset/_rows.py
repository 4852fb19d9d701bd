"""What is appended to a data set file."""

from __future__ import annotations

import dataclasses

from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Rows:
    """Structures to append, k of them with N atoms in all, one array per column.

    The columns that are None are absent; ``kind="generated"`` needs all of them.

    Attributes:
        index: number of the structure in its set, shape (k,).
        counts: atoms of each structure, shape (k,).
        cell: lattice vectors as rows, in Å, shape (k, 3, 3).
        periodic: whether a structure is periodic along each lattice vector, shape (k, 3).
        positions: of all atoms, structure after structure, in Å, shape (N, 3).
        numbers: atomic numbers, shape (N,).
        descriptors: not scaled, shape (N, n_features).
        chain: number of the chain that the structure was harvested from, shape (k,).
        cycle: number of the annealing cycle within the chain, shape (k,).
        attempt: how often the chain had been started anew before, shape (k,).
        energy: effective energy V = E_rep - K S, in eV, shape (k,).
        repulsion: E_rep in eV, shape (k,).
        entropy: S in nats, shape (k,).
        entropy_weight: K at the end of the cycle, in eV, shape (k,).
        least_distance: between two atoms, in Å, shape (k,).
        temperature: mean kinetic temperature of the last tenth of the ramp, in K, shape (k,).
        status: 0 for ok, 1 if attempts at it were discarded before, shape (k,).
    """

    index: ArrayLike
    counts: ArrayLike
    cell: ArrayLike
    periodic: ArrayLike
    positions: ArrayLike
    numbers: ArrayLike
    descriptors: ArrayLike
    chain: ArrayLike | None = None
    cycle: ArrayLike | None = None
    attempt: ArrayLike | None = None
    energy: ArrayLike | None = None
    repulsion: ArrayLike | None = None
    entropy: ArrayLike | None = None
    entropy_weight: ArrayLike | None = None
    least_distance: ArrayLike | None = None
    temperature: ArrayLike | None = None
    status: ArrayLike | None = None
