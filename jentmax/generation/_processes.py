"""Index and number of processes, from the launcher or the user."""

from __future__ import annotations

import os
from typing import NamedTuple

from jentmax.errors import JentmaxError

_LAUNCHERS = (
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JOB_COMPLETION_INDEX", "JENTMAX_PROCESSES"),
)
"""Rank and number of processes: SLURM's srun, Open MPI, PMIx, MPICH and Intel MPI, Kubernetes."""

_ON_NODE = (
    ("SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),  # such as 4(x64)
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
"""Rank and number of processes on the same node."""


class Process(NamedTuple):
    """One of several processes that work on the same set.

    The index only decides which chunks a process starts with. After its own chunks it computes any
    missing ones, so processes may end, be killed or join at any time.

    Attributes:
        index: index of the process, from 0.
        count: number of processes.
    """

    # These names hide methods of tuple.
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]

    def __str__(self) -> str:
        """Index and number, in words."""
        return f"process {self.index} of {self.count}"


ALONE = Process(0, 1)


def process_of(text: str | None = None) -> Process:
    """This process, from text such as "3/8" or, without text, from the launcher's variables.

    Raises:
        JentmaxError: the text or the variables are not a valid index and number.

    >>> process_of("3/8")
    Process(index=3, count=8)
    """
    if text is not None:
        index, _, count = text.partition("/")
        return _checked(f"--process {text}", index, count)
    for rank, size in _LAUNCHERS:
        index, count = os.environ.get(rank), os.environ.get(size)
        if index and count:  # an empty variable counts as absent
            return _checked(f"{rank}={index}, {size}={count}", index, count)
    return ALONE


def _checked(source: str, index: str, count: str) -> Process:
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise JentmaxError(
            f"{source}: give I/N, process I of N, with I from 0 to N - 1, such as --process 0/8; "
            "--process 0/1 is a run by itself"
        )
    return Process(int(index), int(count))


def use_own_device() -> None:
    """Use one GPU if several processes on a node see all of them; call it before importing JAX."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    for rank, size in _ON_NODE:
        n_processes = os.environ.get(size, "").replace(",", "(").partition("(")[0]
        own = os.environ.get(rank, "")
        if own.isdecimal() and n_processes.isdecimal() and int(n_processes) > 1:
            if visible == [""]:  # not set: all GPUs are visible
                os.environ["CUDA_VISIBLE_DEVICES"] = own
            elif len(visible) > 1:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(own) % len(visible)]
            return
