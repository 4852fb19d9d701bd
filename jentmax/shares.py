"""Which chains of a run a process makes, and the file that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from jentmax.config import Settings


class Share(NamedTuple):
    """What one of several processes makes.

    Attributes:
        index: number of the process, from 0.
        count: how many processes there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """From words such as "3/8".

        Raises:
            JentmaxError: if they are no such words.

        >>> Share.parse("3/8")
        Share(index=3, count=8)
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise JentmaxError(
                f"--shard {text}: give I/N, process I of N, with I from 0 to N - 1, such as 0/8"
            )
        return cls(int(index), int(count))

    def chains(self, numbers: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
        """Those of a run's chains that are this process's.

        They are drawn at random, always in the same way: what other processes, fewer or more, have
        left undone is then shared evenly too.

        Args:
            numbers: of all chains, by their number of atoms.

        >>> [Share(index, 3).chains({8: range(8), 12: [8]}) for index in range(3)]
        [{8: [1, 3, 6], 12: []}, {8: [0, 4, 7], 12: []}, {8: [2, 5], 12: [8]}]
        """
        import numpy as np

        shares = {}
        n_before = 0
        for n_atoms, of_a_kind in numbers.items():
            drawn = np.random.default_rng(self.count).permutation(len(of_a_kind))
            # Goes on with the process after the one that had the last of those before.
            mine = sorted(drawn[(self.index - n_before) % self.count :: self.count])
            shares[n_atoms] = [of_a_kind[place] for place in mine]
            n_before += len(of_a_kind)
        return shares

    def path(self, output: Path) -> Path:
        """The file that it writes: the set's own if it is alone."""
        if self.count == 1:
            return output

        from jentmax.dataset import shard_path

        return shard_path(output, self.index, self.count)

    def __str__(self) -> str:
        """In words."""
        return f"process {self.index} of {self.count}"


ALONE = Share(0, 1)


def n_structures(settings: Settings, numbers: Sequence[int]) -> int:
    """How many structures chains give, by their numbers."""
    cycles, asked = settings.run.cycles_per_chain, settings.run.structures
    return sum(min(cycles, asked - number * cycles) for number in numbers)
