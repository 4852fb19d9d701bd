"""Going on with a data set that is not complete, or that is to have more structures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jentmax.chains import Chain, first_chain, random_start
from jentmax.config import Settings, parsed, to_toml
from jentmax.dataset import Dataset, differences
from jentmax.errors import JentmaxError
from jentmax.progress import Counter
from jentmax.scaling import Scaling
from jentmax.shares import Share
from jentmax.versions import device_kind


class Earlier:
    """What earlier runs have left: the structures they made, and how far their chains have come.

    Attributes:
        dataset: that they wrote.
        own: what is in the file that this process writes; None where there is none yet.
        batch_size: structures side by side on each device.
        scaling: of the features.
    """

    def __init__(self, path: Path, settings: Settings, share: Share, extend: bool) -> None:
        """Read a data set that these settings have made in part.

        Args:
            path: of its file.
            settings: of the run that is to go on with it.
            share: what this process makes of it.
            extend: whether they may ask for more structures.

        Raises:
            JentmaxError: if it is no data set of these settings; with all that differs.
        """
        self.dataset = dataset = Dataset(path, may_be_empty=True)
        if dataset.kind != "generated":
            raise JentmaxError(
                f"{path} is a {dataset.kind} data set; jentmax generate goes on with what it wrote"
            )
        _refuse_others(path, dataset.settings, to_toml(settings), extend)
        own = share.path(path)
        self.own = dataset if own == path else Dataset(own) if own.exists() else None
        stored = parsed(dataset.settings, f"settings of {path}")
        self.batch_size: int = stored["run"].get("batch_size", 0)
        with Dataset(
            path, may_be_empty=True
        ) as whole:  # all positions are in memory for as long as this is
            _refuse_damaged(whole, settings, self.batch_size)
        self.scaling = Scaling(dataset.shift, dataset.scale)
        # By ascending index: the last one of a chain is its latest.
        self._latest = {int(chain): place for place, chain in enumerate(dataset.chain)}
        self._ends: dict[int, np.ndarray] = {}  # positions where unfinished chains go on

    def count(self, counter: Counter, numbers: Mapping[int, Sequence[int]]) -> None:
        """Count the structures that there are of some chains, and what was discarded for them."""
        counter.quarantined, counter.rejected = self._discarded()
        asked = list(itertools.chain.from_iterable(numbers.values()))
        there = np.isin(self.dataset.chain, asked)
        counter.harvested(
            self.dataset.entropy[there], self.dataset.least_distance[there], "resuming"
        )

    def entropy_weight(self, n_atoms: int) -> float | None:
        """K of the structures with so many atoms, in eV; None where there are none yet."""
        places = np.flatnonzero(np.diff(self.dataset.pointer) == n_atoms)
        return float(self.dataset.entropy_weight[places[0]]) if len(places) else None

    def chain(self, settings: Settings, number: int) -> Chain:
        """One of the `unfinished` chains, where the earlier run has left it."""
        if number not in self._latest:
            return first_chain(settings, number)
        place, data = self._latest[number], self.dataset
        attempt = int(data.attempt[place])
        start = random_start(settings, number, attempt)
        latest = Chain(number, start, int(data.cycle[place]), attempt)
        return latest.weighing(float(data.entropy_weight[place])).harvested(self._ends[number])

    def made_otherwise(self, versions: Mapping[str, str], device: str) -> str:
        """What made the structures, where it differs in what their last digits may depend on.

        Args:
            versions: that compute now.
            device: that computes now.

        Returns:
            One line; empty if nothing differs.
        """
        data = self.dataset
        differing = [
            f"{name} {data.versions.get(name, 'unknown')} before, {versions[name]} now"
            for name in versions
            if name != "python" and data.versions.get(name) != versions[name]
        ]
        if device_kind(data.device) != device_kind(device):
            differing.append(f"{data.device} before, {device} now")
        if not differing:
            return ""
        return f"resuming   with {'; '.join(differing)}: last digits may differ from one run's"

    def unfinished(
        self, settings: Settings, numbers: Mapping[int, Sequence[int]]
    ) -> dict[int, list[int]]:
        """Those chains of which more structures are asked, by their number of atoms."""
        cycles, data = settings.run.cycles_per_chain, self.dataset

        def is_left(number: int) -> bool:
            asked = min(cycles, settings.run.structures - number * cycles)
            place = self._latest.get(number)
            return place is None or bool(data.cycle[place] + 1 < asked)

        left = {n_atoms: list(filter(is_left, of_a_kind)) for n_atoms, of_a_kind in numbers.items()}
        with Dataset(
            data.path, may_be_empty=True
        ) as whole:  # all positions are in memory for as long as this is
            for number in itertools.chain(*left.values()):
                if (place := self._latest.get(number)) is not None:
                    # Other processes may have added structures since.
                    row = int(np.searchsorted(whole.index, data.index[place]))
                    atoms = slice(whole.pointer[row], whole.pointer[row + 1])
                    self._ends[number] = whole.positions[atoms].copy()
        return {n_atoms: of_a_kind for n_atoms, of_a_kind in left.items() if of_a_kind}

    def _discarded(self) -> tuple[int, int]:
        """Attempts that were not finite, and those too close, before structures of this process.

        A kill in the midst of an append can leave counts that have it in them, without its
        structures. Those know how often their chains were begun anew, though not why.
        """
        if (own := self.own) is None:
            return 0, 0
        latest = {int(chain): place for place, chain in enumerate(own.chain)}
        total = int(own.attempt[list(latest.values())].sum())
        quarantined = min(own.quarantined, total)
        return quarantined, min(own.rejected, total - quarantined)


def _refuse_others(path: Path, stored: str, given: str, extend: bool) -> None:
    """Refuse settings that would not have made the structures that are there."""
    differing = []
    for (section, key), (old, new) in differences(stored, given).items():
        if (section, key, new) == ("run", "batch_size", "auto"):
            continue
        larger = isinstance(old, int) and isinstance(new, int) and new > old
        if (section, key) == ("run", "structures") and extend and larger:
            continue
        differing.append(f"{section}.{key} is {_shown(new)}, was {_shown(old)}")
    if differing:
        more = any(line.startswith("run.structures") for line in differing) and not extend
        hint = "; --extend allows a larger run.structures" if more else ""
        raise JentmaxError(
            "\n  ".join(
                [
                    f"{path} was made with other settings; give the same ones (jentmax info "
                    f"{path} shows them), or another output{hint}",
                    *differing,
                ]
            )
        )


def _refuse_damaged(dataset: Dataset, settings: Settings, batch_size: object) -> None:
    """Refuse structures that no chain of these settings gives."""
    numbers = np.array(settings.system.atom_counts())
    cycles, chain = settings.run.cycles_per_chain, dataset.chain.astype(np.int64)
    whole = (
        isinstance(batch_size, int)
        and batch_size >= 1
        and bool((chain >= 0).all() and (dataset.attempt >= 0).all())
        and bool(((dataset.cycle >= 0) & (dataset.cycle < cycles)).all())
        and np.array_equal(dataset.index, chain * cycles + dataset.cycle)
        and np.array_equal(np.diff(dataset.pointer), numbers[chain % len(numbers)])
        and bool(np.isfinite(dataset.positions).all() and np.isfinite(dataset.entropy_weight).all())
    )
    if not whole:
        raise JentmaxError(
            f"{dataset.path} is damaged: its structures are not those of chains of its settings; "
            "copy it again or generate it anew"
        )


def _shown(value: object) -> str:
    if value is None:
        return "absent"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of very many digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
