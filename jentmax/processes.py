"""Which process of a run this one is: told by JAX's distributed runtime, or by the launcher."""

from __future__ import annotations

import os
import subprocess
import sys

from jentmax.errors import JentmaxError
from jentmax.shares import ALONE, Share

_RUNTIME = (
    "SLURM_STEP_NUM_TASKS",
    "OMPI_MCA_orte_hnp_uri",
    "JOB_COMPLETION_INDEX",
    "JAX_COORDINATOR_ADDRESS",
)
"""Set where JAX finds the other processes by itself: SLURM, Open MPI 4, Kubernetes, by hand."""

_LAUNCHERS = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))
"""Number and count of processes as Open MPI 5, MPICH and Intel MPI tell them."""

_ON_NODE = (
    ("SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),  # such as 4(x64)
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
"""Number and count of processes on the same node."""

_SECONDS = 300
"""How long processes wait for each other."""


def meet(
    coordinator: str | None = None, processes: int | None = None, process_id: int | None = None
) -> Share:
    """Find out which process of how many this one is.

    Where JAX's distributed runtime is at hand, all processes meet at the coordinator, and part at
    once: they need no word from each other to make their shares, and none ends with another.

    Args:
        coordinator: "host:port" at which process 0 can be reached, where nothing tells JAX.
        processes: how many there are. 1 is alone, whatever has launched it.
        process_id: number of this one.

    Raises:
        JentmaxError: if only some of them are given, or the processes cannot meet.
    """
    given = {
        "--coordinator": coordinator,
        "--processes": processes,
        "--process-id": process_id,
    }
    if processes == 1 and coordinator is process_id is None:
        return ALONE
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise JentmaxError(
            f"{' and '.join(missing)} missing: give --coordinator, --processes and --process-id "
            "together, or none of them where SLURM, MPI or Kubernetes launches the processes"
        )
    if not missing:
        _check(str(coordinator), processes or 0, process_id or 0)
    elif not _has_runtime():
        return _launched()
    return _met(coordinator, processes, process_id)


def _check(coordinator: str, processes: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise JentmaxError(f"--coordinator {coordinator}: give host:port, such as node001:9876")
    if processes < 1:
        raise JentmaxError(f"--processes {processes}: give a number of at least 1")
    if not 0 <= process_id < processes:
        raise JentmaxError(
            f"--process-id {process_id}: give a number from 0 to {processes - 1}, another one to "
            f"each of --processes {processes}"
        )


def _has_runtime() -> bool:
    """Whether JAX finds the others by itself, and there are some."""
    if "OMPI_MCA_orte_hnp_uri" not in os.environ and os.environ.get("SLURM_STEP_NUM_TASKS") == "1":
        return False
    return any(name in os.environ for name in _RUNTIME)


def _launched() -> Share:
    """What a launcher says that JAX does not know."""
    for rank, size in _LAUNCHERS:
        if rank in os.environ and size in os.environ:
            return Share(int(os.environ[rank]), int(os.environ[size]))
    return ALONE


def _met(coordinator: str | None, processes: int | None, process_id: int | None) -> Share:
    """Meet in a process of its own, as `jentmax._meeting` says why."""
    given = ["" if value is None else str(value) for value in (coordinator, processes, process_id)]
    meeting = subprocess.run(
        [sys.executable, "-m", "jentmax._meeting", *given, str(_SECONDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        index, count = map(int, meeting.stdout.split())
    except ValueError:
        *_, last = ["", *meeting.stderr.strip().splitlines()]
        raise JentmaxError(
            f"the processes of the run did not meet ({last.strip()}); see that all have started "
            f"and reach {coordinator or 'the first one'}, or let each make its share by itself "
            "(--shard I/N)"
        ) from None
    return Share(index, count)


def use_own_device() -> None:
    """Take one GPU where several processes of a node see all; call it before JAX is imported."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    for rank, size in _ON_NODE:
        n_processes = os.environ.get(size, "").replace(",", "(").partition("(")[0]
        if rank in os.environ and n_processes.isdecimal() and int(n_processes) > 1:
            if visible == [""]:  # nobody has chosen: all that there are
                os.environ["CUDA_VISIBLE_DEVICES"] = os.environ[rank]
            elif len(visible) > 1:
                chosen = visible[int(os.environ[rank]) % len(visible)]
                os.environ["CUDA_VISIBLE_DEVICES"] = chosen
            return
