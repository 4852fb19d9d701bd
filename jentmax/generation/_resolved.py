"""A recipe with batch size, scale and K resolved, which computes chunks of structures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jaxtyping import Array

from jentmax.dataset import Stream, Structures
from jentmax.devices import Device, device_name, versions
from jentmax.errors import JentmaxError
from jentmax.fields import check
from jentmax.generation._fields import RecipeFields
from jentmax.generation._identity import fingerprint
from jentmax.generation._starts import as_range, chain_rng
from jentmax.potential import Potential, Terms
from jentmax.samplers import Cycle, is_out_of_memory, pinned
from jentmax.system import System, stack_host

ACCEPTED, NOT_FINITE, TOO_CLOSE = 0, 1, 2
"""Status of a structure of a chunk."""

_FARTHEST = 100
"""Distance from the origin, in cell lengths, beyond which rounding makes a position useless."""

_WEIGHT, _KEYS = 3, 4
"""Last words of a chain's seeds; the others are in `jentmax.generation._starts`."""

Callback = Callable[[float], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Resolved:
    """Result of `Recipe.resolve`, which fixes every structure of every stream.

    Attributes:
        recipe: the recipe that was resolved.
        seed: seed of all randomness.
        streams: one stream per formula.
        scale: typical value of each feature, shape (n_features,).
        shift: mean of each feature in the run that found the scale, shape (n_features,).
    """

    recipe: RecipeFields
    seed: int
    streams: tuple[Stream, ...]
    scale: np.ndarray
    shift: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of the run."""
        return np.dtype(self.recipe.precision)

    @property
    def x64(self) -> bool:
        """Whether the run needs 64-bit numbers."""
        return self.recipe.precision == "float64"

    def potential(self, stream: int) -> Potential:
        """V for all cells of a stream; for float64, call it with 64-bit mode enabled."""
        potential = self.recipe.potential.with_scale(jnp.asarray(self.scale, self.dtype))
        return potential.for_cells(self.recipe.start.extremes(stream))

    def chunk(
        self,
        batch: int,
        cycle: int,
        previous: Structures | None = None,
        *,
        stream: int = 0,
        device: Device | None = None,
        callback: Callback | None = None,
    ) -> Structures:
        """Compute the structures of one batch of chains for one cycle.

        This is a pure function: equal arguments give equal bits on the same kind of device.

        Args:
            batch: number of the batch.
            cycle: number of the cycle.
            previous: chunk of the previous cycle; not needed for cycle 0.
            stream: number of the stream.
            device: device to run on; by default JAX's.
            callback: called with the finished fraction of the chunk.

        Returns:
            One structure per chain, accepted or not: column ``status`` is 0 for accepted
            structures, 1 for numbers that are not finite, and 2 for atoms closer than
            ``min_distance``.

        Raises:
            JentmaxError: the previous chunk is missing or does not fit, or a single structure
                needs more memory than the device has.
        """
        for name, value, count in (
            ("stream", stream, len(self.streams)), ("batch", batch, None), ("cycle", cycle, None)
        ):  # fmt: skip
            if value < 0 or (count is not None and value >= count):
                most = "" if count is None else f" to {count - 1}"
                raise JentmaxError(
                    f"{name} = {value} is not allowed; give a whole number from 0{most}"
                )
        own = self.streams[stream]
        chains = batch * own.batch_size + np.arange(own.batch_size)
        if cycle > 0 and not _precedes(previous, chains, cycle):
            raise JentmaxError(
                f"previous is missing or another chunk; cycle {cycle} of batch {batch} continues "
                f"from the chunk of cycle {cycle - 1}, of {own.batch_size} structures"
            )
        weights = np.array([self._entropy_weight(stream, int(chain)) for chain in chains])
        return self.run(stream, chains, cycle, weights, previous, device, callback)

    def run(
        self,
        stream: int,
        chains: Sequence[int] | np.ndarray,
        cycle: int,
        weights: np.ndarray,
        previous: Structures | None = None,
        device: Device | None = None,
        callback: Callback | None = None,
    ) -> Structures:
        """Run one cycle of chains in parallel, each with its own K in eV; otherwise as `chunk`."""
        systems = [
            self._start(stream, int(chain), cycle, previous, row)
            for row, chain in enumerate(chains)
        ]
        words = np.array([self._key_words(stream, int(chain), cycle) for chain in chains])
        with pinned(self.x64), jax.default_device(device or jax.local_devices()[0]):
            potential = self.potential(stream)
            made = self._cycle(potential, systems, words, weights, callback or (lambda done: None))
        return self._structures(made, systems, chains, cycle, weights)

    def warm(self, stream: int, device: Device) -> list[Callable[[], object]]:
        """Calls that compile the programs of a stream's chunks; they can run in parallel."""
        own = self.streams[stream]
        systems = [self._start(stream, 0, 0, None, 0)] * own.batch_size
        words = np.array([self._key_words(stream, 0, 0)] * own.batch_size)
        weights = np.zeros(own.batch_size)

        def compile(sampler: Any, with_ends: bool) -> None:
            with pinned(self.x64), jax.default_device(device):
                cycle = Cycle(self.potential(stream), sampler)
                keys, _, together, own_weights = self.arrays(systems, words, weights)
                state = cycle.start(keys, together, own_weights)
                state, _ = cycle.advance(keys, state, 0, 0, 1)
                if with_ends:
                    cycle.ends(state)

        quench = self.recipe.quench
        calls: list[Callable[[], object]] = [
            functools.partial(compile, self.recipe.sampler, quench is None)
        ]
        if quench is not None:
            calls.append(functools.partial(compile, quench.sampler, True))
        return calls

    def header(self, n_devices: int = 1) -> dict[str, Any]:
        """Header of a set's files, as plain data for `from_header`.

        Args:
            n_devices: number of devices, for the name of the device.
        """
        return {
            "recipe": self.recipe.to_plain(),
            "sha256": fingerprint(self.recipe),
            "versions": versions(),
            "device": device_name(n_devices),
            "seed": self.seed,
            "precision": self.recipe.precision,
            "streams": [dataclasses.asdict(stream) for stream in self.streams],
            "scale": self.scale.tolist(),
            "shift": self.shift.tolist(),
        }

    @classmethod
    def from_header(cls, recipe: RecipeFields, header: Mapping[str, Any]) -> Resolved:
        """Read the header of a set's files, for the recipe that made them."""
        streams = tuple(Stream(**check("stream", Stream, one)) for one in header["streams"])
        scale, shift = (np.asarray(header[name], float) for name in ("scale", "shift"))
        return cls(recipe, int(header["seed"]), streams, scale, shift)

    def _entropy_weight(self, stream: int, chain: int) -> float:
        low, high = as_range(self.streams[stream].entropy_weight)
        return float(chain_rng(self.seed, stream, chain, 0, _WEIGHT).uniform(low, high))

    def _key_words(self, stream: int, chain: int, cycle: int) -> np.ndarray:
        """Words of the random keys of a chain's cycle and of its quench."""
        seeds = np.random.SeedSequence([self.seed, stream, chain, cycle, _KEYS])
        return seeds.generate_state(4, np.uint32)

    def _start(
        self, stream: int, chain: int, cycle: int, previous: Structures | None, row: int
    ) -> System:
        """Start of a chain's cycle: its last structure, or a new random start."""
        if cycle == 0 or previous is None or previous.columns["status"][row] != ACCEPTED:
            return self.recipe.start.draw(self.seed, stream, chain, cycle)
        start = self.recipe.start.draw(self.seed, stream, chain, 0)
        own = slice(previous.pointer[row], previous.pointer[row + 1])
        order = previous.numbers[own]
        return dataclasses.replace(
            start,
            positions=previous.positions[own],
            cell=previous.cells[row],
            numbers=order.astype(np.int32),
            masses=_masses(start, order),
        )

    def arrays(
        self, systems: Sequence[System], words: np.ndarray, weights: np.ndarray
    ) -> tuple[Array, Array, System, Array]:
        """Keys of the cycle and the quench, systems and K, on the device."""
        together = self.side_by_side(systems)
        keys, quench_keys = (
            jax.random.wrap_key_data(jnp.asarray(own), impl="threefry2x32")
            for own in (words[:, :2], words[:, 2:])
        )
        return keys, quench_keys, together, jnp.asarray(weights, self.dtype)

    def side_by_side(self, systems: Sequence[System]) -> System:
        """Move systems from the host to JAX's default device, as replicas with the run's dtype."""

        def put(array: np.ndarray) -> Array:
            floating = np.issubdtype(array.dtype, np.floating)
            return jnp.asarray(array.astype(self.dtype) if floating else array)

        return jax.tree.map(put, stack_host(systems))

    def _cycle(
        self,
        potential: Potential,
        systems: Sequence[System],
        words: np.ndarray,
        weights: np.ndarray,
        callback: Callback,
    ) -> tuple[System, Terms, Array]:
        """Final systems on the host, V and temperatures; runs in halves if memory is full."""
        recipe = self.recipe
        annealing = recipe.steps / (recipe.steps + (recipe.quench.steps if recipe.quench else 0))
        try:
            keys, quench_keys, together, own_weights = self.arrays(systems, words, weights)
            ends, terms, temperature = Cycle(potential, recipe.sampler).run(
                keys,
                keys,
                together,
                own_weights,
                recipe.steps,
                lambda done: callback(done * annealing),
            )
            if recipe.quench:
                quench = Cycle(potential, recipe.quench.sampler)
                ends, terms, _ = quench.run(
                    quench_keys, quench_keys, ends, own_weights, recipe.quench.steps,
                    lambda done: callback(annealing + done * (1 - annealing)),
                )  # fmt: skip
            return jax.tree.map(_replicas_first, (ends, terms, temperature))
        except JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(systems) == 1:
                raise JentmaxError(
                    f"formula of {systems[0].n_atoms} atoms: a single structure needs more memory "
                    "than the device has; give fewer atoms, a smaller descriptor cutoff or "
                    'twojmax, or precision = "float32"'
                ) from None
        half = len(systems) // 2
        parts = [
            self._cycle(potential, systems[own], words[own], weights[own], callback)
            for own in (slice(half), slice(half, None))
        ]
        return jax.tree.map(lambda *both: np.concatenate(both), *parts)

    def _structures(
        self,
        made: tuple[System, Terms, Any],
        systems: Sequence[System],
        chains: Sequence[int] | np.ndarray,
        cycle: int,
        weights: np.ndarray,
    ) -> Structures:
        """Results of a cycle as columns on the host."""
        ends, terms, temperature = made
        cells = np.stack([np.asarray(system.cell, float) for system in systems])
        columns = {
            "energy": terms.energy,
            "repulsion": terms.repulsion,
            "entropy": terms.entropy,
            "least_distance": terms.least_distance,
            "temperature": temperature,
        }
        columns = {name: np.asarray(values, float) for name, values in columns.items()}
        positions = np.asarray(ends.positions, float)
        finite = [
            np.isfinite(array).reshape(len(cells), -1).all(axis=1)
            for array in (positions, terms.features, *columns.values())
        ]
        # floor warns if numbers are not finite.
        fractional = np.where(np.isfinite(positions), positions, 0) @ np.linalg.inv(cells)
        finite.append(np.abs(fractional).max(axis=(1, 2)) < _FARTHEST)
        good = np.all(finite, axis=0)
        close = ~(columns["least_distance"] >= self.recipe.min_distance)
        status = np.where(good, np.where(close, TOO_CLOSE, ACCEPTED), NOT_FINITE).astype(np.int8)
        n_atoms = positions.shape[1]
        return Structures(
            positions=((fractional - np.floor(fractional)) @ cells).reshape(-1, 3),
            numbers=np.concatenate([np.asarray(system.numbers, int) for system in systems]),
            cells=cells,
            pbc=np.ones((len(cells), 3), bool),
            pointer=np.arange(len(cells) + 1) * n_atoms,
            columns={
                "row": np.arange(len(cells)),
                "chain": np.asarray(chains, np.int64),
                "cycle": np.full(len(cells), cycle),
                "status": status,
                **columns,
                "entropy_weight": np.asarray(weights, float),
            },
            atom_columns={
                "descriptors": np.asarray(terms.features, self.dtype).reshape(
                    len(positions) * n_atoms, -1
                )
            },
        )


def _precedes(previous: Structures | None, chains: np.ndarray, cycle: int) -> bool:
    """Whether a chunk belongs to the same chains and the previous cycle."""
    return (
        previous is not None
        and len(previous) == len(chains)
        and bool((previous.columns["cycle"] == cycle - 1).all())
        and bool((previous.columns["chain"] == chains).all())
    )


def _replicas_first(array: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(array), -1, 0)


def _masses(start: System, numbers: np.ndarray) -> np.ndarray:
    """Masses of a start's elements, for atoms in a different order."""
    table = dict(
        zip(np.asarray(start.numbers).tolist(), np.asarray(start.masses).tolist(), strict=True)
    )
    return np.array([table[number] for number in numbers.tolist()])
