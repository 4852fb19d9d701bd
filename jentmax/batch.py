"""Chains side by side: their cycles, and the harvest of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from jax.errors import JaxRuntimeError
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from jentmax.build import build_quench, build_sampler
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.cycles import AnySampler, advance, begin, terms
from jentmax.dataset import Rows
from jentmax.errors import JentmaxError
from jentmax.memory import Width, is_out_of_memory
from jentmax.potential import Potential, Terms
from jentmax.progress import Counter
from jentmax.samplers import Descent, Sampler, State
from jentmax.sharding import Devices

ATTEMPTS = 5
"""How often a cycle that ends in numbers that are not finite is tried, from new starts."""

_TENTHS = 10

_TAMING = {
    "langevin": "sampler.timestep or sampler.force_cap",
    "optax": "sampler.step_length",
    "fire": "sampler.largest_step",
    "basin-hopping": "sampler.step_length",
}
"""What to lower where numbers are not finite, by kind of the sampler."""


@dataclasses.dataclass(frozen=True)
class _Harvest:
    """Structures, one per place: positions wrapped into the cells (Å), descriptors, scalar columns,
    and whether all of these are finite."""

    positions: np.ndarray
    descriptors: np.ndarray
    columns: dict[str, np.ndarray]
    finite: np.ndarray

    def mended(self, other: Self) -> _Harvest:
        """With another's structures where its own are not finite."""

        def chosen(own: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.where(self.finite.reshape(-1, *[1] * (own.ndim - 1)), own, others)

        return _mapped(chosen, self, other)


class Batch:
    """Chains that run side by side, from their starts through all of their cycles."""

    def __init__(
        self,
        settings: Settings,
        chains: Sequence[int],
        dtype: DTypeLike,
        counter: Counter,
        devices: Devices,
        width: Width,
    ) -> None:
        """Draw the chains' starts; all have the same number of atoms."""
        self._settings, self._chains, self._dtype = settings, list(chains), dtype
        self._counter, self._devices, self._width = counter, devices, width
        self._starts = [random_start(settings, chain) for chain in chains]
        self._attempts = [0] * len(self._chains)

    def sample(self, potential: Potential) -> None:
        """Take the potential in which the chains anneal and descend."""
        self._sampler: Sampler = build_sampler(self._settings, potential)
        self._quench: Descent = build_quench(self._settings, potential)

    @property
    def n_atoms(self) -> int:
        """Atoms in each structure."""
        return len(self._starts[0].species)

    def wanted(self, cycle: int) -> list[int]:
        """Places of the chains whose structure of this cycle is asked for."""
        return [
            place
            for place in range(len(self._chains))
            if self._index(place, cycle) < self._settings.run.structures
        ]

    def rows(self, cycle: int) -> Rows:
        """Run one cycle of all chains and give the structures that are asked for.

        A chain whose cycle ends in numbers that are not finite begins again from a new start; the
        others keep what they have. What becomes of chains that no structure is asked of is ignored.

        Raises:
            JentmaxError: if a chain fails from several starts, or takes more memory than there is.
        """
        discarded = [0] * len(self._chains)
        wanted = self.wanted(cycle)
        harvest, n_missing = None, len(wanted)
        for _ in range(ATTEMPTS):
            found = self._harvest(cycle, n_missing)
            harvest = found if harvest is None else harvest.mended(found)
            failed = [place for place in wanted if not harvest.finite[place]]
            for place in failed:
                discarded[place] += 1
                self._attempts[place] += 1
                self._counter.quarantined += 1
                self._starts[place] = random_start(
                    self._settings, self._chains[place], self._attempts[place]
                )
            if not failed:
                break
            n_missing = len(failed)
        else:
            raise JentmaxError(
                f"structure {self._index(failed[0], cycle)}: not finite in {ATTEMPTS} attempts "
                f"from different starts; lower {_TAMING[self._settings.sampler.kind]}, or check "
                "the repulsion"
            )
        for place in wanted:
            self._starts[place] = dataclasses.replace(
                self._starts[place], positions=harvest.positions[place]
            )
        return self._as_rows(cycle, wanted, harvest, discarded)

    def rehearsals(self) -> list[Callable[[], object]]:
        """What compiles the programs of a cycle when it is called: each runs no steps of one."""
        return [self._rehearse_annealing, self._rehearse_quench]

    def _rehearse_annealing(self) -> None:
        sampler, state, keys, _ = self._begun(self._sampler, range(len(self._chains)), 0)
        advance(self._devices, sampler, keys, state, 0, 0, 1)

    def _rehearse_quench(self) -> None:
        sampler = self._quench if self._settings.quench.steps else self._sampler
        sampler, state, keys, _ = self._begun(sampler, range(len(self._chains)), 0)
        terms(self._devices, sampler.potential, state)
        if self._settings.quench.steps:
            advance(self._devices, sampler, keys, state, 0, 0, 1)

    def _harvest(self, cycle: int, n_wanted: int) -> _Harvest:
        """Run one cycle of all chains, as many at a time as there is memory for."""
        parts: list[_Harvest] = []
        n_chains, first = len(self._chains), 0
        while first < n_chains:
            last = min(first + self._devices.n_used * self._width.batch_size, n_chains)
            before, share = n_wanted * first / n_chains, n_wanted * (last - first) / n_chains

            def show(phase: str, done: float, before: float = before, share: float = share) -> None:
                self._counter.show(phase, before + share * done)

            try:
                parts.append(self._cycle(range(first, last), cycle, show))
            except JaxRuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._width.halve(self._settings)
                self._counter.show(
                    "annealing",
                    before,
                    f"out of memory: on with {self._width.batch_size} side by side on each device",
                )
            else:
                first = last
        return _mapped(lambda *arrays: np.concatenate(arrays), *parts)

    def _cycle(
        self, places: Sequence[int], cycle: int, show: Callable[[str, float], None]
    ) -> _Harvest:
        """One cycle of the chains in some places: annealing and descent.

        The temperature (K) is the mean kinetic one of the annealing's last tenth.
        """
        devices, steps = self._devices, self._settings.sampler.steps
        self._sampler, state, keys, start_keys = self._begun(self._sampler, places, cycle)
        stops = [steps * tenth // _TENTHS for tenth in range(_TENTHS + 1)]
        temperature = np.zeros(len(places))
        for tenth in range(_TENTHS):
            first, last = stops[tenth], stops[tenth + 1]
            self._sampler, state, temperature = advance(
                devices, self._sampler, keys, state, first, last, steps
            )
            show("annealing", (tenth + 1) / (_TENTHS + 1))
        potential = self._sampler.potential
        if steps := self._settings.quench.steps:
            show("quenching", _TENTHS / (_TENTHS + 1))
            self._quench, state = begin(
                devices, self._quench, start_keys, state.system, state.entropy_weight
            )
            self._quench, state, _ = advance(devices, self._quench, keys, state, 0, steps, steps)
            potential = self._quench.potential
        return _harvested(state, terms(devices, potential, state), temperature, len(places))

    def _begun(
        self, sampler: AnySampler, places: Sequence[int], cycle: int
    ) -> tuple[AnySampler, State, Array, Array]:
        """Sampler and state at a cycle's start, and the keys of its steps and of the start."""
        starts = [self._starts[place] for place in places]
        start_keys, keys = chain_keys(
            self._settings.run.seed,
            [self._chains[place] for place in places],
            [self._attempts[place] for place in places],
            cycle,
        )
        start_keys, keys, system, weights = self._devices.split(
            (start_keys, keys, *stacked(starts, self._dtype))
        )
        sampler, state = begin(self._devices, sampler, start_keys, system, weights)
        return sampler, state, keys, start_keys

    def _as_rows(
        self, cycle: int, wanted: Sequence[int], harvest: _Harvest, discarded: Sequence[int]
    ) -> Rows:
        """The wanted structures as columns of the data set."""
        from ase.data import atomic_numbers

        numbers = np.array([atomic_numbers[symbol] for symbol in self._settings.system.species])
        starts = [self._starts[place] for place in wanted]
        found = _mapped(lambda array: array[wanted], harvest)
        return Rows(
            index=[self._index(place, cycle) for place in wanted],
            chain=[self._chains[place] for place in wanted],
            cycle=[cycle] * len(wanted),
            attempt=[self._attempts[place] for place in wanted],
            status=[int(discarded[place] > 0) for place in wanted],
            counts=[len(start.species) for start in starts],
            cell=np.array([start.cell for start in starts]),
            periodic=np.ones((len(wanted), 3), bool),
            positions=np.concatenate(found.positions),
            numbers=np.concatenate([numbers[start.species] for start in starts]),
            descriptors=np.concatenate(found.descriptors),
            entropy_weight=[start.entropy_weight for start in starts],
            **found.columns,
        )

    def _index(self, place: int, cycle: int) -> int:
        return self._chains[place] * self._settings.run.cycles_per_chain + cycle


def _harvested(state: State, found: Terms, temperature: ArrayLike, n_replicas: int) -> _Harvest:
    """What the first replicas have come to; idle devices' come after them."""

    def fetched(array: ArrayLike) -> np.ndarray:
        return np.moveaxis(np.asarray(array, np.float64)[..., :n_replicas], -1, 0)

    positions, cell = fetched(state.system.positions), fetched(state.system.cell)
    descriptors = fetched(found.features)
    columns = {
        "energy": fetched(found.energy),
        "repulsion": fetched(found.repulsion),
        "entropy": fetched(found.entropy),
        "least_distance": fetched(found.least_distance),
        "temperature": fetched(temperature),
    }
    finite = [
        np.isfinite(array).reshape(n_replicas, -1).all(axis=1)
        for array in (positions, descriptors, *columns.values())
    ]
    # Where it is not finite, floor would warn.
    positions = np.where(np.isfinite(positions), positions, 0)
    fractional = positions @ np.linalg.inv(cell)
    return _Harvest(
        positions=(fractional - np.floor(fractional)) @ cell,
        descriptors=descriptors,
        columns=columns,
        finite=np.all(finite, axis=0),
    )


def _mapped(function: Callable[..., np.ndarray], *harvests: _Harvest) -> _Harvest:
    """A harvest whose arrays a function gives from others'."""
    first = harvests[0]
    return _Harvest(
        positions=function(*(one.positions for one in harvests)),
        descriptors=function(*(one.descriptors for one in harvests)),
        columns={
            name: function(*(one.columns[name] for one in harvests)) for name in first.columns
        },
        finite=function(*(one.finite for one in harvests)),
    )
