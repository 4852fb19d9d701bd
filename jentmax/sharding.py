"""Replicas spread over devices: every device runs the same program on its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from jentmax.devices import n_cores
from jentmax.errors import JentmaxError

_AXIS = "replicas"


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices that share the replicas; made by `first_devices`.

    XLA takes another way to compile for one device than for several, and its results differ in
    their last digits. For numbers that do not depend on how many devices there are, a single
    CPU device gets a second one beside it, which holds replicas that take no steps.

    Attributes:
        mesh: the devices.
        n_used: how many of them take steps.
    """

    mesh: Mesh
    n_used: int

    def split(self, tree: Any) -> Any:
        """Put arrays whose last axis is that of the replicas on the devices.

        Args:
            tree: arrays; the number of replicas is a multiple of ``n_used``. An idle device gets
                copies of them, which come last.
        """
        copies = self.mesh.size // self.n_used

        def put(array: Any) -> Array:
            if copies > 1:
                room = np if isinstance(array, np.ndarray) else jnp  # numpy compiles nothing
                array = room.concatenate([array] * copies, axis=-1)
            return jax.device_put(array, NamedSharding(self.mesh, _spec(array)))

        return jax.tree.map(put, tree)

    def numbers(self, used: int, idle: int) -> Int[Array, " n_devices"]:
        """A number for each device."""
        n_idle = self.mesh.size - self.n_used
        values = np.array([used] * self.n_used + [idle] * n_idle, np.int32)
        return jax.device_put(values, NamedSharding(self.mesh, PartitionSpec(_AXIS)))

    def each(self, function: Callable, shared: Any, *split: Any, like: Any = None) -> Any:
        """Call a function on every device, under `jax.jit`.

        Args:
            function: of ``shared`` and a device's own part of ``split``; the last axis of all
                arrays that it returns is that of the replicas. Numbers are the same everywhere.
            shared: the same on every device.
            split: as `split` and `numbers` put them there.
            like: arrays of the ranks of those that it returns; by default it is traced to know.
        """
        arrays, rest = eqx.partition(shared, eqx.is_array)

        def own(arrays: Any, *split: Any) -> Any:
            return function(eqx.combine(arrays, rest), *split)

        if like is None:
            like = jax.eval_shape(own, arrays, *split)
        return jax.shard_map(
            own,
            mesh=self.mesh,
            in_specs=(PartitionSpec(), *jax.tree.map(_spec, split)),
            out_specs=jax.tree.map(_spec, like),
            check_vma=False,  # it cannot know that a counter of steps is the same everywhere
        )(arrays, *split)


def n_available() -> int:
    """Devices that replicas can be spread over."""
    count = jax.local_device_count()
    if jax.default_backend() == "cpu" and (count, n_cores()) == (2, 1):
        return 1  # the second is there for the sake of the first
    return count


def n_asked(devices: int | Literal["all"]) -> int:
    """Number of devices that a run asks for.

    Raises:
        JentmaxError: if there are not so many.
    """
    available = n_available()
    if devices == "all":
        return available
    if devices > available:
        kind = "CPU cores" if jax.default_backend() == "cpu" else "devices"
        raise JentmaxError(
            f"run.devices = {devices} is more than the {available} {kind} that JAX has here; give "
            f'1 to {available}, or "all"'
        )
    return devices


def first_devices(n_devices: int) -> Devices:
    """The first so many devices."""
    local = jax.local_devices()
    beside = 1 if n_devices == 1 and local[0].platform == "cpu" and len(local) > 1 else 0
    return Devices(Mesh(np.array(local[: n_devices + beside]), (_AXIS,)), n_devices)


def _spec(array: Array) -> PartitionSpec:
    """The last axis over all devices; numbers everywhere."""
    if array.ndim == 0:
        return PartitionSpec()
    return PartitionSpec(*[None] * (array.ndim - 1), _AXIS)
