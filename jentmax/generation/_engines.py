"""Engines that compute chunks: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import jax

from jentmax.dataset import ChunkId, Structures
from jentmax.devices import versions, workers
from jentmax.errors import JentmaxError
from jentmax.generation._fields import RecipeFields
from jentmax.generation._resolved import Resolved

_SECONDS_TO_CONNECT = 30


class Engine:
    """Computes chunks in parallel.

    Attributes:
        pending: chunks in progress.
    """

    def __init__(
        self,
        executor: Executor,
        task: Callable[[ChunkId, Structures | None], Structures],
        count: Callable[[], int],
        fractions: Mapping[ChunkId, float],
    ) -> None:
        """Prepare to compute chunks.

        Args:
            executor: runs the task.
            task: computes a chunk from the chunk of the previous cycle.
            count: returns the current number of workers.
            fractions: finished fractions of the chunks in progress, as far as they are known.
        """
        self.pending: dict[Future[Structures], ChunkId] = {}
        self._executor, self._task, self._count = executor, task, count
        self._fractions = fractions

    @property
    def n_workers(self) -> int:
        """Number of chunks that run at the same time."""
        return max(1, self._count())

    def submit(self, chunk: ChunkId, previous: Structures | None) -> Future[Structures]:
        """Start to compute a chunk."""
        return self._executor.submit(self._task, chunk, previous)

    def under_way(self) -> float:
        """Sum of the finished fractions of the chunks in progress."""
        return sum(list(self._fractions.values()))


class _Stopped(Exception):
    """Ends a thread."""


@contextlib.contextmanager
def threads(resolved: Resolved, devices: int | None) -> Iterator[Engine]:
    """One thread per core or GPU. On exit, each stops after its current tenth of a cycle."""
    free, fractions, stopped = workers(devices), dict[ChunkId, float](), threading.Event()
    n_workers = len(free)

    def task(chunk: ChunkId, previous: Structures | None) -> Structures:
        device = free.pop()

        def callback(fraction: float) -> None:
            if stopped.is_set():
                raise _Stopped
            fractions[chunk] = fraction

        try:
            return resolved.chunk(
                chunk.batch,
                chunk.cycle,
                previous,
                stream=chunk.stream,
                device=device,
                callback=callback,
            )
        finally:
            free.append(device)
            fractions.pop(chunk, None)

    with ThreadPoolExecutor(n_workers) as pool:
        try:
            yield Engine(pool, task, lambda: n_workers, fractions)
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


_resolved: dict[str, Resolved] = {}
"""The set of this worker's last chunk, by its header."""

_lock = threading.Lock()


def remote_chunk(
    recipe: RecipeFields, header: str, chunk: tuple[int, int, int], previous: Structures | None
) -> Structures:
    """Compute one chunk of a set, on a worker of any engine.

    Args:
        recipe: recipe of the set.
        header: header of the set as JSON, as in set.json.
        chunk: numbers of the stream, the batch and the cycle.
        previous: chunk of the previous cycle; None for cycle 0.
    """
    stream, batch, cycle = chunk
    # Each unpickled recipe has new function objects, and JAX would compile them again.
    with _lock:
        if header not in _resolved:
            _resolved.clear()
            _resolved[header] = Resolved.from_header(recipe, json.loads(header))
        resolved = _resolved[header]
    return resolved.chunk(batch, cycle, previous, stream=stream, device=jax.local_devices()[0])


@contextlib.contextmanager
def dask(scheduler: Any, resolved: Resolved, header: Mapping[str, Any]) -> Iterator[Engine]:
    """The workers of a Dask cluster, each with one thread and one device.

    Args:
        scheduler: address of the scheduler, or a ``distributed.Client``.
        resolved: resolved recipe of the chunks.
        header: header of the set.

    Raises:
        JentmaxError: Dask is not installed, the scheduler cannot be reached, or a worker has a
            different version of jentmax or JAX.
    """
    try:
        from distributed import Client
    except ImportError:
        raise JentmaxError(
            'a scheduler needs Dask, which is not installed; pip install "jentmax[dask]"'
        ) from None
    own = isinstance(scheduler, str)
    if not own and not isinstance(scheduler, Client):
        raise JentmaxError(
            f"scheduler = {scheduler!r} is not allowed; give its address, such as "
            "tcp://node001:8786, or a distributed.Client"
        )
    client: Any = _connected(Client, scheduler) if own else scheduler
    try:
        _refuse_other_versions(client)
        task = functools.partial(remote_chunk, resolved.recipe, json.dumps(dict(header)))
        executor = client.get_executor(pure=False)
        try:
            yield Engine(executor, task, lambda: len(client.nthreads()), {})
        finally:
            executor.shutdown(wait=False)
    finally:
        if own:
            client.close()


def _connected(make_client: Callable[..., Any], address: str) -> Any:
    """Connect to a scheduler.

    Raises:
        JentmaxError: the scheduler cannot be reached.
    """
    try:
        return make_client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error)
    # The failed client closes itself when it is garbage-collected; if that happened while another
    # client starts, it would wait forever.
    gc.collect()
    raise JentmaxError(
        f"scheduler {address} cannot be reached ({reason}); give the address that it prints, such "
        "as tcp://node001:8786"
    )


def _refuse_other_versions(client: Any) -> None:
    ours = versions()
    try:
        found: dict[str, Any] = client.run(versions)
    except Exception as error:
        raise JentmaxError(
            f"the workers cannot import jentmax ({error}); install it where they run"
        ) from error
    for address, theirs in found.items():
        for name in ("jentmax", "jax", "jaxlib"):
            if theirs.get(name) != ours[name]:
                raise JentmaxError(
                    f"worker {address} has {name} {theirs.get(name)}, here it is {ours[name]}; "
                    "install the same version"
                )
