"""A recipe: how the structures of a set come about, as one object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jentmax.generation._fields import RecipeFields
from jentmax.generation._resolve import resolve
from jentmax.generation._resolved import Resolved


class Recipe(RecipeFields):
    """How the structures of a set come about; it knows no files and no number of structures.

    A chain starts at random and runs ``cycles_per_chain`` cycles of the sampler, each from the end
    of the one before. Every cycle, with its quench, gives one structure. `generate` makes a set.

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
        report: Callable[[str, str], None] | None = None,
    ) -> Resolved:
        """All that is found before the first structure: scale, K, batch size.

        Args:
            seed: of all randomness, from 0 to 2^32 - 1.
            structures: about how many will be asked for; only the batch size depends on it.
            devices: CPU cores or GPUs to use; None for all.
            cache: folder that keeps which batch sizes were measured to be the fastest.
            report: called with what is being done, and a note or "".

        Returns:
            The resolved recipe, whose `Resolved.chunk` makes structures.

        Raises:
            JentmaxError: a feature does not vary, no K keeps the distance, or the atoms do not fit.
        """
        return resolve(self, seed, structures, devices, cache, report or (lambda phase, note: None))
