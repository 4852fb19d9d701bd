"""Chains side by side: their cycles, and the harvest of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from jentmax.build import build_quench, build_sampler
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.cycles import advance, begin
from jentmax.dataset import Rows
from jentmax.errors import JentmaxError
from jentmax.potential import Potential, Terms
from jentmax.progress import Counter
from jentmax.samplers import Langevin, Quench, State

ATTEMPTS = 5
"""How often a cycle that ends in numbers that are not finite is tried, from new starts."""

_TENTHS = 10


@dataclasses.dataclass(frozen=True)
class _Harvest:
    """One structure: positions wrapped into the cell (Å), descriptors, and scalar columns."""

    positions: np.ndarray
    descriptors: np.ndarray
    columns: dict[str, float]


class Batch:
    """Chains that run side by side, from their starts through all of their cycles."""

    def __init__(
        self,
        settings: Settings,
        potential: Potential,
        chains: Sequence[int],
        dtype: DTypeLike,
        counter: Counter,
    ) -> None:
        """Draw the chains' starts; all have the same number of atoms."""
        self._settings, self._chains, self._dtype = settings, list(chains), dtype
        self._counter = counter
        self._sampler: Langevin = build_sampler(settings, potential)
        self._quench: Quench = build_quench(settings, potential)
        self._starts = [random_start(settings, chain) for chain in chains]
        self._attempts = [0] * len(self._chains)

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
            JentmaxError: if a chain fails from several starts.
        """
        harvests: dict[int, _Harvest] = {}
        discarded = [0] * len(self._chains)
        wanted = self.wanted(cycle)
        for _ in range(ATTEMPTS):
            found = self._harvest(cycle, len(wanted) - len(harvests))
            for place in wanted:
                if (harvest := found[place]) is not None:
                    harvests.setdefault(place, harvest)
            failed = [place for place in wanted if place not in harvests]
            for place in failed:
                discarded[place] += 1
                self._attempts[place] += 1
                self._counter.quarantined += 1
                self._starts[place] = random_start(
                    self._settings, self._chains[place], self._attempts[place]
                )
            if not failed:
                break
        else:
            raise JentmaxError(
                f"structure {self._index(failed[0], cycle)}: not finite in {ATTEMPTS} attempts "
                "from different starts; lower sampler.timestep or sampler.force_cap, or check the "
                "repulsion"
            )
        for place, harvest in harvests.items():
            self._starts[place] = dataclasses.replace(
                self._starts[place], positions=harvest.positions
            )
        return self._as_rows(cycle, wanted, harvests, discarded)

    def _harvest(self, cycle: int, n_wanted: int) -> list[_Harvest | None]:
        """Run one cycle of all chains; None for those that end in numbers that are not finite."""
        state, terms, temperature = self._run(cycle, n_wanted)
        positions, cell, terms, temperature = jax.tree.map(
            lambda array: np.asarray(array, np.float64),
            (state.system.positions, state.system.cell, terms, temperature),
        )
        return [
            _one(
                positions[..., place],
                cell[..., place],
                jax.tree.map(lambda array, place=place: array[..., place], terms),
                temperature[place],
            )
            for place in range(len(self._chains))
        ]

    def _run(self, cycle: int, n_wanted: int) -> tuple[State, Terms, Array]:
        """Annealing and descent: the state at their end, its terms, and the mean kinetic
        temperature (K) in the annealing's last tenth."""
        system, weights = stacked(self._starts, self._dtype)
        start, keys = chain_keys(self._settings.run.seed, self._chains, self._attempts, cycle)
        self._sampler, state = begin(self._sampler, start, system, weights)
        temperature = jnp.zeros_like(weights)
        steps = self._settings.sampler.steps
        stops = [steps * tenth // _TENTHS for tenth in range(_TENTHS + 1)]
        for tenth in range(_TENTHS):
            first, last = stops[tenth], stops[tenth + 1]
            self._sampler, state, temperature = advance(
                self._sampler, keys, state, first, last, steps
            )
            jax.block_until_ready(temperature)
            self._counter.show("annealing", n_wanted * (tenth + 1) / (_TENTHS + 1))
        potential = self._sampler.potential
        if steps := self._settings.quench.steps:
            self._counter.show("quenching", n_wanted * _TENTHS / (_TENTHS + 1))
            self._quench, state = begin(self._quench, start, state.system, weights)
            self._quench, state, _ = advance(self._quench, keys, state, 0, steps, steps)
            potential = self._quench.potential
        return state, _terms(potential, state), temperature

    def _as_rows(
        self,
        cycle: int,
        wanted: Sequence[int],
        harvests: dict[int, _Harvest],
        discarded: Sequence[int],
    ) -> Rows:
        """The wanted structures as columns of the data set."""
        from ase.data import atomic_numbers

        numbers = np.array([atomic_numbers[symbol] for symbol in self._settings.system.species])
        starts = [self._starts[place] for place in wanted]
        found = [harvests[place] for place in wanted]
        columns = {name: [harvest.columns[name] for harvest in found] for name in _COLUMNS}
        self._counter.entropy.extend(columns["entropy"])
        self._counter.least_distance.extend(columns["least_distance"])
        self._counter.show("writing")
        return Rows(
            index=[self._index(place, cycle) for place in wanted],
            chain=[self._chains[place] for place in wanted],
            cycle=[cycle] * len(wanted),
            attempt=[self._attempts[place] for place in wanted],
            status=[int(discarded[place] > 0) for place in wanted],
            counts=[len(start.species) for start in starts],
            cell=np.array([start.cell for start in starts]),
            periodic=np.ones((len(wanted), 3), bool),
            positions=np.concatenate([harvest.positions for harvest in found]),
            numbers=np.concatenate([numbers[start.species] for start in starts]),
            descriptors=np.concatenate([harvest.descriptors for harvest in found]),
            entropy_weight=[start.entropy_weight for start in starts],
            **columns,
        )

    def _index(self, place: int, cycle: int) -> int:
        return self._chains[place] * self._settings.run.cycles_per_chain + cycle


_COLUMNS = ("energy", "repulsion", "entropy", "least_distance", "temperature")


def _one(
    positions: np.ndarray, cell: np.ndarray, terms: Terms, temperature: float
) -> _Harvest | None:
    """One structure's harvest, or None if any number in it is not finite."""
    scalars = [terms.energy, terms.repulsion, terms.entropy, terms.least_distance, temperature]
    if not all(np.all(np.isfinite(array)) for array in (positions, terms.features, *scalars)):
        return None
    fractional = positions @ np.linalg.inv(cell)
    return _Harvest(
        positions=(fractional - np.floor(fractional)) @ cell,
        descriptors=np.asarray(terms.features),
        columns=dict(zip(_COLUMNS, map(float, scalars), strict=True)),
    )


@eqx.filter_jit
def _terms(potential: Potential, state: State) -> Terms:
    system = state.system
    neighbors = potential.finder.refreshed(state.neighbors, system.positions, system.cell)
    return potential.terms(
        system.positions, system.cell, system.species, state.entropy_weight, neighbors
    )
