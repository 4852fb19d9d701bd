"""Run many steps in one compiled loop, on all devices."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Real

from jentmax.arrays import AnyKey
from jentmax.devices import Device, compiler_options, in_threads, workers
from jentmax.errors import JentmaxError
from jentmax.potential import Potential, Terms
from jentmax.samplers._contract import check_sampler, refuse_no_sampler
from jentmax.samplers._state import Info, fold_in, mended, replica_keys
from jentmax.system import System

_TENTHS = 10

_BATCH_SIZES = {"cpu": 16}
"""Replicas per call on a device: one float32 vector of a CPU core."""

_GPU_BATCH_SIZE = 1024

Callback = Callable[[float], None]


def default_batch_size() -> int:
    """Default number of replicas in one batch on a device."""
    return _BATCH_SIZES.get(jax.default_backend(), _GPU_BATCH_SIZE)


@contextlib.contextmanager
def pinned(x64: bool | None = None) -> Iterator[None]:
    """Set the JAX options that the package's programs need, overriding the user's.

    Args:
        x64: whether to enable 64-bit numbers; None leaves the option unchanged.
    """
    with contextlib.ExitStack() as stack:
        if x64 is not None:
            stack.enter_context(jax.enable_x64(x64))
        stack.enter_context(jax.threefry_partitionable(True))
        stack.enter_context(jax.default_matmul_precision("highest"))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        yield


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that a device ran out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error)


class Cycle:
    """Cycles of one batch of replicas on one device; `run` and `generate` both use it."""

    def __init__(self, potential: Potential, sampler: Any) -> None:
        """Prepare to run a sampler; the potential must be from `Potential.for_cells`."""
        self.potential, self.sampler = potential, sampler

    def start(
        self,
        keys: Key[Array, " n_replicas"],
        systems: System,
        entropy_weight: Real[ArrayLike, "#n_replicas"],
    ) -> Any:
        """The state at the start of a cycle, on the device that holds the arrays."""
        check_sampler(self.potential, self.sampler, keys, systems, entropy_weight)
        init = _compiled(_platform(systems)).init
        return self._mended(init(self.potential, self.sampler, keys, systems, entropy_weight))

    def advance(
        self, keys: Key[Array, " n_replicas"], state: Any, first: int, last: int, steps: int
    ) -> tuple[Any, Float[Array, " n_replicas"]]:
        """Take steps ``first`` to ``last - 1`` of a cycle of ``steps``.

        This donates the state to XLA: do not use it afterwards. If a neighbour list overflows, the
        list grows and the loop continues.

        Returns:
            The state, and the mean kinetic temperature over these steps, in K.
        """
        advance = _compiled(_platform(state.system)).advance
        heat = jnp.zeros_like(state.entropy_weight)
        number = jnp.asarray(first, jnp.int32)
        last_step, n_steps = jnp.asarray(last, jnp.int32), jnp.asarray(steps, jnp.int32)
        while True:
            fixed = self.potential, self.sampler, keys, last_step, n_steps
            number, state, heat, overflow = advance(fixed, (number, state, heat))
            if not bool(overflow):
                return state, heat / max(last - first, 1)
            state = self._mended(state)

    def ends(self, state: Any) -> tuple[System, Terms]:
        """The systems of a state, with V and its parts."""
        ends = _compiled(_platform(state.system)).ends
        while True:
            terms, overflow = ends(self.potential, state)
            if not bool(overflow):
                return state.system, terms
            state = eqx.tree_at(
                lambda s: s.neighbors,
                state,
                state.neighbors.grown(state.system.positions, state.system.cell),
            )

    def run(
        self,
        start_keys: Key[Array, " n_replicas"],
        keys: Key[Array, " n_replicas"],
        systems: System,
        entropy_weight: Real[ArrayLike, "#n_replicas"],
        steps: int,
        callback: Callback | None = None,
    ) -> tuple[System, Terms, Float[Array, " n_replicas"]]:
        """A whole cycle: final systems, their V, and the mean temperature of the last tenth (K)."""
        state = self.start(start_keys, systems, entropy_weight)
        temperature = jnp.zeros_like(state.entropy_weight)
        stops = [steps * tenth // _TENTHS for tenth in range(_TENTHS + 1)]
        for tenth in range(_TENTHS):
            first, last = stops[tenth], stops[tenth + 1]
            if last == first:
                continue
            state, temperature = self.advance(keys, state, first, last, steps)
            if callback is not None:
                callback((tenth + 1) / _TENTHS)
        return *self.ends(state), temperature

    def n_bytes(
        self, keys: Key[Array, " n_replicas"], systems: System, entropy_weight: ArrayLike
    ) -> int:
        """Memory that the loop takes on its device, in bytes."""
        state = self.start(keys, systems, entropy_weight)
        number = jnp.zeros((), jnp.int32)
        fixed = self.potential, self.sampler, keys, number, number
        heat = jnp.zeros(systems.replicas, systems.positions.dtype)
        lowered = _compiled(_platform(systems)).advance.lower(fixed, (number, state, heat))
        found = lowered.compile().compiled.memory_analysis()
        return int(
            found.temp_size_in_bytes
            + found.argument_size_in_bytes
            + found.output_size_in_bytes
            - found.alias_size_in_bytes
        )

    def _mended(self, state: Any) -> Any:
        """The state with neighbour lists that do not overflow, copied so that XLA may reuse it."""
        mend = getattr(self.sampler, "mend", mended)
        return jax.tree.map(_copied, mend(state))


def run(
    potential: Potential,
    sampler: Any,
    systems: System,
    *,
    key: AnyKey,
    steps: int,
    entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    batch_size: int | None = None,
    devices: int | None = None,
    callback: Callback | None = None,
) -> tuple[System, Info]:
    """Run one cycle of a sampler for every replica.

    Replicas run in batches, each of which is one program on one device. The results depend on the
    batch size (in the last digits), never on the number of devices. They have the dtype of the
    positions; float64 needs x64. If a neighbour list overflows, it grows and the run continues.

    Args:
        potential: V.
        sampler: parameters of a method, such as `Langevin`.
        systems: one structure, or replicas.
        key: one random key, or one per replica.
        steps: number of steps of the cycle.
        entropy_weight: the largest K of the cycle, in eV; one value, or one per replica.
        batch_size: replicas per batch; by default 16 on a CPU, 1024 on a GPU.
        devices: number of CPU cores or GPUs to use; None for all.
        callback: receives the completed fraction of the run after each tenth of a batch, in the
            thread that runs the batch.

    Returns:
        The final systems and their observables, arrays of shape (replicas,). The temperature is
        the mean kinetic temperature of the last tenth, in K. Observables are NaN if V is not
        defined at the end.

    Raises:
        JentmaxError: an argument is not allowed, or one structure needs more memory than there is.

    >>> import jax, jentmax as jm
    >>> potential = jm.Potential(
    ...     jm.Snap(cutoff=4.0, components=6), jm.ClarkeSmith(), jm.NearestNeighbor())
    >>> systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=2)
    >>> ends, info = jm.run(potential, jm.Descent(), systems, key=jax.random.key(1), steps=20,
    ...     entropy_weight=10.0)
    >>> len(ends), info.entropy.shape
    (2, (2,))
    """
    for name, value in (("steps", steps), ("batch_size", batch_size), ("devices", devices)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise JentmaxError(
                f"{name} = {value!r} is not allowed; give a whole number of at least 1"
            )
    if not isinstance(systems, System):
        raise JentmaxError(
            f"systems = {type(systems).__name__} is not allowed; give a System, such as "
            "System.from_ase(atoms)"
        )
    if not isinstance(potential, Potential):
        raise JentmaxError(
            f"potential = {type(potential).__name__} is not allowed; give a Potential, such as "
            "Potential(descriptor, repulsion, entropy)"
        )
    refuse_no_sampler(sampler)
    potential.check(systems)
    if not systems.replicas:
        together = jax.tree.map(lambda array: jnp.asarray(array)[..., None], systems)
        ends, info = run(
            potential, sampler, together, key=replica_keys(key, ())[None], steps=steps,
            entropy_weight=entropy_weight, callback=callback,
        )  # fmt: skip
        return ends[0], jax.tree.map(lambda array: array[0], info)
    dtype = jnp.asarray(systems.positions).dtype
    with pinned():
        keys = replica_keys(key, systems.replicas)
        weights = _weights(entropy_weight, systems.replicas, dtype)
        cycle = Cycle(potential if potential.finder else potential.for_cells(systems), sampler)
    groups = _groups(len(systems), batch_size or default_batch_size())
    x64, lock, done = dtype == jnp.float64, threading.Lock(), [0.0] * len(groups)

    def progress(number: int, fraction: float) -> None:
        if callback is not None:
            with lock:
                done[number] = fraction
                callback(sum(done) / len(groups))

    def one(device: Device, number: int) -> tuple[System, Info]:
        with pinned(x64):
            own = jax.device_put(groups[number], device)
            parts = jax.device_put((keys, systems, weights), device)
            own_keys, own_systems, own_weights = jax.tree.map(lambda a: a[..., own], parts)
            return _cycle(cycle, own_keys, own_systems, own_weights, steps,
                          lambda fraction: progress(number, fraction))  # fmt: skip

    first = [one(_first_device(devices), 0)]  # compiles the programs for all groups
    rest = in_threads(one, range(1, len(groups)), devices) if len(groups) > 1 else []
    home = _first_device(devices)
    parts = [jax.device_put(part, home) for part in (*first, *rest)]
    ends, info = jax.tree.map(
        lambda *arrays: jnp.concatenate(arrays, axis=-1)[..., : len(systems)], *parts
    )
    return ends, info


def estimate_memory(
    potential: Potential, sampler: Any, systems: System, entropy_weight: ArrayLike = 1.0
) -> int:
    """Memory that a run with all these replicas in one batch takes on a device, in bytes.

    XLA compiles the program but does not run it.

    Args:
        potential: V.
        sampler: parameters of a method.
        systems: replicas.
        entropy_weight: K, in eV.
    """
    weights = _weights(entropy_weight, systems.replicas, systems.positions.dtype)
    with pinned():
        keys = replica_keys(jax.random.key(0, impl="threefry2x32"), systems.replicas)
        cycle = Cycle(potential if potential.finder else potential.for_cells(systems), sampler)
        return cycle.n_bytes(keys, systems, weights)


class _Programs(eqx.Module):
    """The compiled functions for one platform."""

    init: Any
    advance: Any
    ends: Any


@functools.cache
def _compiled(platform: str) -> _Programs:
    options: Any = {"compiler_options": compiler_options(platform)}
    return _Programs(
        init=eqx.filter_jit(_init, **options),
        advance=eqx.filter_jit(_advance, donate="all-except-first", **options),
        ends=eqx.filter_jit(_ends, **options),
    )


def _init(potential: Potential, sampler: Any, keys: Array, systems: System, weights: Array) -> Any:
    return sampler.init(potential, fold_in(keys, 0), systems, weights)


def _advance(fixed: Any, moving: Any) -> tuple[Array, Any, Array, Array]:
    potential, sampler, keys, last, steps = fixed
    dtype = moving[1].system.positions.dtype

    def unfinished(carry: Any) -> Array:
        number, _, _, overflow = carry
        return (number < last) & ~overflow

    def body(carry: Any) -> Any:
        number, state, heat, _ = carry
        progress = (number + 1).astype(dtype) / steps.astype(dtype)
        state, info = sampler.step(potential, fold_in(keys, number + 1), state, progress)
        overflow = jnp.any(info.overflow)
        heat = heat + jnp.where(overflow, 0, info.temperature)
        return number + jnp.where(overflow, 0, 1), state, heat, overflow

    return jax.lax.while_loop(unfinished, body, (*moving, jnp.asarray(False)))


def _ends(potential: Potential, state: Any) -> tuple[Terms, Array]:
    system = state.system
    neighbors = state.neighbors.updated(system.positions, system.cell)
    terms = potential.terms(
        system.positions, system.cell, system.numbers, state.entropy_weight, neighbors
    )
    return terms, neighbors.overflowed


def _cycle(
    cycle: Cycle,
    keys: Key[Array, " n_replicas"],
    systems: System,
    weights: Float[Array, " n_replicas"],
    steps: int,
    callback: Callback,
) -> tuple[System, Info]:
    """One batch on one device; it splits the batch in halves if the memory is too small."""
    try:
        ends, terms, temperature = cycle.run(keys, keys, systems, weights, steps, callback)
    except JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(systems) == 1:
            raise JentmaxError(
                f"systems of {systems.n_atoms} atoms need more memory than the device has, even "
                "one at a time; give fewer atoms, a smaller cutoff or float32"
            ) from None
        half = len(systems) // 2
        parts = [
            _cycle(cycle, keys[own], systems[own], weights[own], steps, callback)
            for own in (slice(half), slice(half, None))
        ]
        return jax.tree.map(lambda *both: jnp.concatenate(both, axis=-1), *parts)
    info = Info(
        terms.energy,
        terms.repulsion,
        terms.entropy,
        terms.least_distance,
        temperature,
        jnp.zeros(temperature.shape, bool),
    )
    return ends, info


def _groups(n_replicas: int, batch_size: int) -> list[np.ndarray]:
    """Replicas of each batch; copies of the last replica pad the last batch to full size."""
    size = min(batch_size, n_replicas)
    places = np.arange(-(-n_replicas // size) * size)
    return list(np.minimum(places, n_replicas - 1).reshape(-1, size))


def _weights(entropy_weight: ArrayLike, replicas: tuple[int, ...], dtype: Any) -> Array:
    weights = jnp.asarray(entropy_weight, dtype)
    if weights.shape not in ((), replicas):
        raise JentmaxError(
            f"entropy_weight has shape {weights.shape}; give one number, or one per replica, "
            f"shape {replicas}"
        )
    return jnp.broadcast_to(weights, replicas)


def _platform(systems: System) -> str:
    devices = getattr(systems.positions, "devices", None)
    return next(iter(devices())).platform if devices else jax.default_backend()


def _first_device(devices: int | None) -> Device:
    return workers(devices)[0]


def _copied(leaf: Any) -> Any:
    return jnp.array(leaf, copy=True) if eqx.is_array(leaf) else leaf
