"""A recipe: one object that defines how to make the structures of a set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jentmax.generation._fields import RecipeFields
from jentmax.generation._resolve import resolve
from jentmax.generation._resolved import Resolved


class Recipe(RecipeFields):
    """How to make the structures of a set, independent of files and the number of structures.

    A chain starts from a random structure and runs ``cycles_per_chain`` cycles of the sampler; each
    cycle starts at the end of the previous one. Every cycle, followed by its quench, gives one
    structure. `generate` makes a set.

    >>> import jentmax as jm
    >>> potential = jm.Potential(
    ...     jm.Snap(cutoff=4.0, components=6), jm.ClarkeSmith(), jm.NearestNeighbor())
    >>> start = jm.RandomStart("W39", density=0.03)
    >>> recipe = jm.Recipe(potential, jm.Langevin(), start=start, steps=100, entropy_weight=300.0)
    """

    def resolve(
        self,
        seed: int = 0,
        *,
        structures: int | None = None,
        devices: int | None = None,
        cache: Path | None = None,
        callback: Callable[[str, str], None] | None = None,
    ) -> Resolved:
        """Determine scale, K and batch size, which must be known before the first structure.

        Args:
            seed: random seed, from 0 to 2^32 - 1.
            structures: approximate number of structures; only the batch size depends on it.
            devices: number of CPU cores or GPUs to use; None for all.
            cache: folder for the fastest batch sizes from earlier measurements.
            callback: called with the current phase, and a note or "".

        Returns:
            The resolved recipe, whose `Resolved.chunk` makes structures.

        Raises:
            JentmaxError: a feature is constant, no K keeps the least distance, or the cell has no
                room for the atoms.
        """
        return resolve(
            self, seed, structures, devices, cache, callback or (lambda phase, note: None)
        )
