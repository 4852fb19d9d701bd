"""Going on with a data set that is not complete, or that is to have more structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jentmax.chains import Chain, first_chain, random_start
from jentmax.config import Settings, parsed, to_toml
from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError
from jentmax.scaling import Scaling

_FREE = (("run", "output"), ("run", "devices"))
"""Settings on which no structure depends."""


class Earlier:
    """What an earlier run has left: the structures it made, and how far its chains have come.

    Attributes:
        dataset: that it wrote.
        batch_size: structures side by side on each device.
        scaling: of the features.
    """

    def __init__(self, path: Path, settings: Settings, extend: bool) -> None:
        """Read a data set that these settings have made in part.

        Args:
            path: of its file.
            settings: of the run that is to go on with it.
            extend: whether they may ask for more structures.

        Raises:
            JentmaxError: if it is no data set of these settings; with all that differs.
        """
        self.dataset = dataset = Dataset(path)
        if dataset.kind != "generated":
            raise JentmaxError(
                f"{path} is a {dataset.kind} data set; jentmax generate goes on with what it wrote"
            )
        stored = parsed(dataset.settings, f"settings of {path}")
        _refuse_others(path, stored, parsed(to_toml(settings), "settings"), extend)
        self.batch_size: int = stored["run"].get("batch_size", 0)
        _refuse_damaged(dataset, settings, self.batch_size)
        self.scaling = Scaling(dataset.shift, dataset.scale)
        # By ascending index: the last one of a chain is its latest.
        self._latest = {int(chain): place for place, chain in enumerate(dataset.chain)}

    def entropy_weight(self, n_atoms: int) -> float | None:
        """K of the structures with so many atoms, in eV; None where there are none yet."""
        places = np.flatnonzero(np.diff(self.dataset.pointer) == n_atoms)
        return float(self.dataset.entropy_weight[places[0]]) if len(places) else None

    def chain(self, settings: Settings, number: int) -> Chain:
        """A chain where the earlier run has left it."""
        if number not in self._latest:
            return first_chain(settings, number)
        place, data = self._latest[number], self.dataset
        attempt = int(data.attempt[place])
        start = random_start(settings, number, attempt)
        latest = Chain(number, start, int(data.cycle[place]), attempt)
        positions = data.positions[data.pointer[place] : data.pointer[place + 1]]
        return latest.weighing(float(data.entropy_weight[place])).harvested(positions)

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
        return {n_atoms: of_a_kind for n_atoms, of_a_kind in left.items() if of_a_kind}


def _refuse_others(path: Path, stored: dict, given: dict, extend: bool) -> None:
    """Refuse settings that would not have made the structures that are there."""
    if scattered := [key for key, fields in stored.items() if not isinstance(fields, dict)]:
        raise JentmaxError(f"{path}: its settings have {scattered[0]} outside of all sections")
    differing = []
    names = {
        (section, key) for told in (stored, given) for section in told for key in told[section]
    }
    for section, key in sorted(names - set(_FREE)):
        old, new = (told.get(section, {}).get(key) for told in (stored, given))
        if old == new or (key == "batch_size" and new == "auto"):
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
