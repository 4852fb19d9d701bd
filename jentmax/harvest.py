"""What chains give, batch after batch, until every structure is there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from jentmax.batch import Harvest, Runner
from jentmax.chains import Chain
from jentmax.config import Settings
from jentmax.dataset import Rows
from jentmax.errors import JentmaxError
from jentmax.potential import Potential
from jentmax.progress import Counter

ATTEMPTS = 5
"""How often a cycle that gives no structure is tried, from new starts."""

ATTEMPTS_TOO_CLOSE = 20
"""How often one in which atoms come too close is tried once others have gone well: there it is bad
luck."""

_TAMING = {
    "langevin": "sampler.timestep or sampler.force_cap",
    "optax": "sampler.step_length",
    "fire": "sampler.largest_step",
    "basin-hopping": "sampler.step_length",
}
"""What to lower where numbers are not finite, by kind of the sampler."""


def chain_numbers(settings: Settings) -> dict[int, list[int]]:
    """Numbers of the chains that structures are asked of, by their number of atoms."""
    sizes = settings.system.atom_counts()
    numbers: dict[int, list[int]] = {}
    for number in range(-(-settings.run.structures // settings.run.cycles_per_chain)):
        numbers.setdefault(sizes[number % len(sizes)], []).append(number)
    return numbers


def harvests(
    settings: Settings,
    runner: Runner,
    potential: Potential,
    chains: Iterator[Chain],
    side_by_side: int,
    counter: Counter,
) -> Iterator[Rows]:
    """The structures of chains with the same number of atoms, batch after batch.

    A cycle gives none if it ends in numbers that are not finite, or with atoms closer than
    ``potential.min_distance``: its chain begins again from a new start, in the next batch. What
    the others give does not depend on it.

    Args:
        settings: of the run.
        runner: of their cycles.
        potential: in which they anneal.
        chains: at their beginnings.
        side_by_side: how many there may be in a batch.
        counter: of the attempts discarded.

    Raises:
        JentmaxError: if a chain fails from many starts, or takes more memory than there is.
    """
    going: list[Chain] = []
    while batch := [*going, *itertools.islice(chains, side_by_side - len(going))]:
        harvest = runner.cycle(potential, batch)
        apart = harvest.columns["least_distance"] >= settings.potential.min_distance
        good = harvest.finite & apart
        # What was discarded counts once it led to a structure, so that the file's counts are those
        # of its structures.
        counter.quarantined += sum(batch[place].not_finite for place in np.flatnonzero(good))
        counter.rejected += sum(batch[place].too_close for place in np.flatnonzero(good))
        if np.any(good):
            yield _as_rows(settings, batch, harvest, np.flatnonzero(good).tolist())
        if notes := [_quarantined(settings, batch[k]) for k in np.flatnonzero(~harvest.finite)]:
            counter.show("annealing", note="\n".join(notes))
        going = []
        for place, chain in enumerate(batch):
            if good[place]:
                after = chain.harvested(harvest.positions[place])
                if _wanted(settings, after):
                    going.append(after)
            else:
                finite = bool(harvest.finite[place])
                again = chain.anew(settings, finite)
                _check(settings, again, counter, finite)
                going.append(again)


def _quarantined(settings: Settings, chain: Chain) -> str:
    """What is told of an attempt that was not finite: enough to make it again."""
    return (
        f"quarantined structure {chain.index(settings.run.cycles_per_chain)}: not finite, or "
        f"atoms lost; seed "
        f"{settings.run.seed}, chain {chain.number}, cycle {chain.cycle}, attempt {chain.attempt}"
    )


def _wanted(settings: Settings, chain: Chain) -> bool:
    """Whether a structure is asked of its next cycle."""
    cycles = settings.run.cycles_per_chain
    return chain.cycle < cycles and chain.index(cycles) < settings.run.structures


def _check(settings: Settings, chain: Chain, counter: Counter, finite: bool) -> None:
    """Whether it may be tried again.

    Raises:
        JentmaxError: if it may not.
    """
    structure = f"structure {chain.index(settings.run.cycles_per_chain)}"
    starts = f"in {chain.failures} attempts from different starts"
    asked = settings.potential.min_distance
    if not finite and chain.failures >= ATTEMPTS:
        raise JentmaxError(
            f"{structure}: not finite {starts}; lower {_TAMING[settings.sampler.kind]}, or check "
            "the repulsion"
        )
    if finite and chain.failures >= (ATTEMPTS_TOO_CLOSE if counter.n_harvested else ATTEMPTS):
        raise JentmaxError(
            f"{structure}: atoms closer than potential.min_distance = {asked:g} Å {starts}; lower "
            'it or potential.entropy_weight, or let potential.entropy_weight = "auto" find the '
            "largest that keeps it"
        )


def _as_rows(
    settings: Settings, chains: Sequence[Chain], harvest: Harvest, places: Sequence[int]
) -> Rows:
    """What the chains in some places have given, as columns of the data set."""
    from ase.data import atomic_numbers

    numbers = np.array([atomic_numbers[symbol] for symbol in settings.system.species])
    chosen = [chains[place] for place in places]
    return Rows(
        index=[chain.index(settings.run.cycles_per_chain) for chain in chosen],
        chain=[chain.number for chain in chosen],
        cycle=[chain.cycle for chain in chosen],
        attempt=[chain.attempt for chain in chosen],
        status=[int(chain.failures > 0) for chain in chosen],
        counts=[len(chain.start.species) for chain in chosen],
        cell=np.array([chain.start.cell for chain in chosen]),
        periodic=np.ones((len(chosen), 3), bool),
        positions=np.concatenate(harvest.positions[places]),
        numbers=np.concatenate([numbers[chain.start.species] for chain in chosen]),
        descriptors=np.concatenate(harvest.descriptors[places]),
        entropy_weight=[chain.start.entropy_weight for chain in chosen],
        **{name: values[places] for name, values in harvest.columns.items()},
    )
