"""What runs chunks: threads of this process, or the workers of a Dask cluster."""

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
from jentmax.errors import JentmaxError, Stopped
from jentmax.generation._fields import RecipeFields
from jentmax.generation._resolved import Resolved

_SECONDS_TO_CONNECT = 30


class Engine:
    """Runs chunks side by side.

    Attributes:
        n_workers: how many run at a time.
    """

    n_workers: int

    def submit(self, chunk: ChunkId, previous: Structures | None) -> Future[Structures]:
        """Start a chunk."""
        raise NotImplementedError

    def under_way(self) -> float:
        """Chunks' worth of what is under way and done."""
        return 0.0

    def stop(self) -> None:
        """End what is under way; chunks that are done stay so."""
        raise NotImplementedError


class Threads(Engine):
    """Threads of this process, one for each core or GPU."""

    def __init__(self, resolved: Resolved, devices: int | None, pool: Executor) -> None:
        """Prepare to run chunks."""
        free = workers(devices)
        self.n_workers = len(free)
        self.stopped = threading.Event()
        self._resolved, self._free, self._pool = resolved, free, pool
        self._shares: dict[ChunkId, float] = {}

    def submit(self, chunk: ChunkId, previous: Structures | None) -> Future[Structures]:
        """Start a chunk."""
        return self._pool.submit(self._run, chunk, previous)

    def under_way(self) -> float:
        """Chunks' worth of what is under way and done."""
        return sum(list(self._shares.values()))

    def stop(self) -> None:
        """End threads at their next tenth of a cycle, and wait for them."""
        self.stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, chunk: ChunkId, previous: Structures | None) -> Structures:
        device = self._free.pop()

        def report(share: float) -> None:
            if self.stopped.is_set():
                raise Stopped
            self._shares[chunk] = share

        try:
            return self._resolved.chunk(
                chunk.batch,
                chunk.cycle,
                previous,
                stream=chunk.stream,
                device=device,
                callback=report,
            )
        finally:
            self._free.append(device)
            self._shares.pop(chunk, None)


@contextlib.contextmanager
def threads(resolved: Resolved, devices: int | None) -> Iterator[Threads]:
    """Threads that end with the context: those at work stop at their next tenth of a cycle."""
    with ThreadPoolExecutor(len(workers(devices))) as pool:
        engine = Threads(resolved, devices, pool)
        try:
            yield engine
        finally:
            engine.stop()


class Dask(Engine):
    """Workers of a Dask cluster, each with one thread and one device."""

    def __init__(self, client: Any, resolved: Resolved, header: Mapping[str, Any]) -> None:
        """Prepare to run chunks."""
        self._client, self._executor = client, client.get_executor(pure=False)
        content = json.dumps(dict(header))
        self._task = functools.partial(remote_chunk, resolved.recipe, content)

    @property
    def n_workers(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Workers that there are now."""
        return max(1, len(self._client.nthreads()))

    def submit(self, chunk: ChunkId, previous: Structures | None) -> Future[Structures]:
        """Start a chunk."""
        return self._executor.submit(self._task, tuple(chunk), previous)

    def stop(self) -> None:
        """Take back what the workers have not begun or not finished."""
        self._executor.shutdown(wait=False)


_resolved: dict[str, Resolved] = {}
"""The set that this worker has last made chunks of, by its header."""

_lock = threading.Lock()


def remote_chunk(
    recipe: RecipeFields, header: str, chunk: tuple[int, int, int], previous: Structures | None
) -> Structures:
    """One chunk of a set: what a worker of any engine runs.

    Args:
        recipe: of the set.
        header: what set.json says, as JSON.
        chunk: numbers of the stream, the batch and the cycle.
        previous: the chunk of the cycle before, if there is one.
    """
    stream, batch, cycle = chunk
    # Functions that come with a recipe are other objects each time, which JAX would compile again.
    with _lock:
        if header not in _resolved:
            _resolved.clear()
            _resolved[header] = Resolved.from_header(recipe, json.loads(header))
        resolved = _resolved[header]
    return resolved.chunk(batch, cycle, previous, stream=stream, device=jax.local_devices()[0])


@contextlib.contextmanager
def dask(scheduler: Any, resolved: Resolved, header: Mapping[str, Any]) -> Iterator[Dask]:
    """The workers of a Dask cluster.

    Args:
        scheduler: address of the scheduler, or a ``distributed.Client``.
        resolved: what to make chunks of.
        header: of the set.

    Raises:
        JentmaxError: Dask is not installed, the scheduler cannot be reached, or a worker has
            another version of jentmax or JAX.
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
    client = _connected(Client, scheduler) if own else scheduler
    try:
        _refuse_other_versions(client)
        engine = Dask(client, resolved, header)
        try:
            yield engine
        finally:
            engine.stop()
    finally:
        if own:
            client.close()


def _connected(make_client: Callable[..., Any], address: str) -> Any:
    """A client of a scheduler.

    Raises:
        JentmaxError: it cannot be reached.
    """
    try:
        return make_client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError) as error:
        told = str(error)
    # A client that failed closes itself when it is collected, and waits forever if that happens
    # while another one starts.
    gc.collect()
    raise JentmaxError(
        f"scheduler {address} cannot be reached ({told}); give the address that it prints, such as "
        "tcp://node001:8786"
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
