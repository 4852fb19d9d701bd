"""Chains side by side: one cycle of each, and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jax.errors import JaxRuntimeError
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

from jentmax.build import build_quench, build_sampler
from jentmax.chains import Chain, chain_keys, stacked
from jentmax.config import Settings
from jentmax.cycles import AnySampler, advance, begin, terms
from jentmax.memory import Width, is_out_of_memory
from jentmax.potential import Potential, Terms
from jentmax.progress import Counter
from jentmax.samplers import State
from jentmax.sharding import Devices

_TENTHS = 10

_FARTHEST = 100
"""Cell lengths from the origin at which an atom is lost: rounding has taken its place from it."""


@dataclasses.dataclass(frozen=True)
class Harvest:
    """What a cycle of several chains has come to.

    Attributes:
        positions: wrapped into the cells, in Å, shape (n_chains, n_atoms, 3).
        descriptors: not scaled, shape (n_chains, n_atoms, n_features).
        columns: of the data set, by name, shape (n_chains,).
        finite: whether all of these are, and no atom is lost, shape (n_chains,).
    """

    positions: np.ndarray
    descriptors: np.ndarray
    columns: dict[str, np.ndarray]
    finite: np.ndarray


class Runner:
    """Runs one cycle of many chains side by side."""

    def __init__(
        self,
        settings: Settings,
        dtype: DTypeLike,
        counter: Counter,
        devices: Devices,
        width: Width,
    ) -> None:
        """Prepare to run chains of these settings, ``width`` of them on each device."""
        self._settings, self._dtype = settings, dtype
        self._counter, self._devices, self._width = counter, devices, width

    def cycle(self, potential: Potential, chains: Sequence[Chain], phase: str = "") -> Harvest:
        """Run the next cycle of each chain, as many at a time as there is memory for.

        Args:
            potential: in which they anneal and descend.
            chains: with the same number of atoms.
            phase: what is being done, in words, where no structures of the set come of it.

        Raises:
            JentmaxError: if one takes more memory than there is.
        """
        parts: list[Harvest] = []
        first = 0
        while first < len(chains):
            n_replicas = self._devices.n_used * self._width.batch_size
            part = chains[first : first + n_replicas]

            def show(name: str, done: float, before: int = first, n: int = len(part)) -> None:
                self._counter.show(phase or name, 0.0 if phase else before + n * done)

            try:
                parts.append(self._cycle(potential, part, n_replicas, show))
            except JaxRuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._width.halve(self._settings)
                note = f"on with {self._width.batch_size} side by side on each device"
                self._counter.show("annealing", first, f"out of memory: {note}")
            else:
                first += len(part)
        return _joined(parts)

    def rehearsals(
        self, potential: Potential, chains: Sequence[Chain]
    ) -> list[Callable[[], object]]:
        """What compiles the programs of a cycle when it is called: each runs no steps of one."""
        n_replicas = self._devices.n_used * self._width.batch_size
        quench_steps = self._settings.quench.steps

        def annealing() -> None:
            sampler = build_sampler(self._settings, potential)
            sampler, state, keys, _ = self._begun(sampler, chains, n_replicas)
            advance(self._devices, sampler, keys, state, 0, 0, 1)

        def quench() -> None:
            build = build_quench if quench_steps else build_sampler
            sampler, state, keys, _ = self._begun(
                build(self._settings, potential), chains, n_replicas
            )
            terms(self._devices, sampler.potential, state)
            if quench_steps:
                advance(self._devices, sampler, keys, state, 0, 0, 1)

        return [annealing, quench]

    def _cycle(
        self,
        potential: Potential,
        chains: Sequence[Chain],
        n_replicas: int,
        show: Callable[[str, float], None],
    ) -> Harvest:
        """One cycle of chains that fit the devices: annealing and descent.

        The temperature (K) is the mean kinetic one of the annealing's last tenth.
        """
        devices, steps = self._devices, self._settings.sampler.steps
        sampler = build_sampler(self._settings, potential)
        sampler, state, keys, start_keys = self._begun(sampler, chains, n_replicas)
        stops = [steps * tenth // _TENTHS for tenth in range(_TENTHS + 1)]
        temperature = np.zeros(n_replicas)
        for tenth in range(_TENTHS):
            first, last = stops[tenth], stops[tenth + 1]
            sampler, state, temperature = advance(devices, sampler, keys, state, first, last, steps)
            show("annealing", (tenth + 1) / (_TENTHS + 1))
        last_potential = sampler.potential
        if steps := self._settings.quench.steps:
            show("quenching", _TENTHS / (_TENTHS + 1))
            quench = build_quench(self._settings, potential)
            quench, state = begin(devices, quench, start_keys, state.system, state.entropy_weight)
            quench, state, _ = advance(devices, quench, keys, state, 0, steps, steps)
            last_potential = quench.potential
        return _harvested(state, terms(devices, last_potential, state), temperature, len(chains))

    def _begun(
        self, sampler: AnySampler, chains: Sequence[Chain], n_replicas: int
    ) -> tuple[AnySampler, State, Array, Array]:
        """Sampler and state at a cycle's start, and the keys of its steps and of the start.

        There is one program for one number of replicas: where chains are fewer, the last one is
        there several times.
        """
        filled = [*chains, *[chains[-1]] * (n_replicas - len(chains))]
        start_keys, keys = chain_keys(
            self._settings.run.seed,
            [chain.number for chain in filled],
            [chain.attempt for chain in filled],
            [chain.cycle for chain in filled],
        )
        start_keys, keys, system, weights = self._devices.split(
            (start_keys, keys, *stacked([chain.start for chain in filled], self._dtype))
        )
        sampler, state = begin(self._devices, sampler, start_keys, system, weights)
        return sampler, state, keys, start_keys


def _harvested(state: State, found: Terms, temperature: ArrayLike, n_chains: int) -> Harvest:
    """What the first replicas have come to; those that fill the devices come after them."""

    def fetched(array: ArrayLike) -> np.ndarray:
        return np.moveaxis(np.asarray(array, np.float64)[..., :n_chains], -1, 0)

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
        np.isfinite(array).reshape(n_chains, -1).all(axis=1)
        for array in (positions, descriptors, *columns.values())
    ]
    # Where it is not finite, floor would warn.
    positions = np.where(np.isfinite(positions), positions, 0)
    fractional = positions @ np.linalg.inv(cell)
    finite.append(np.abs(fractional).max(axis=(1, 2)) < _FARTHEST)
    return Harvest(
        positions=(fractional - np.floor(fractional)) @ cell,
        descriptors=descriptors,
        columns=columns,
        finite=np.all(finite, axis=0),
    )


def _joined(parts: Sequence[Harvest]) -> Harvest:
    """One harvest of several."""
    return Harvest(
        positions=np.concatenate([part.positions for part in parts]),
        descriptors=np.concatenate([part.descriptors for part in parts]),
        columns={
            name: np.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        },
        finite=np.concatenate([part.finite for part in parts]),
    )
