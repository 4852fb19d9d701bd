"""The files of a set: which a process may write, how they begin, and several made into one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jentmax._output import refuse_existing, remove_partial, writing
from jentmax.dataset import (
    Dataset,
    DatasetWriter,
    Status,
    check_sibling,
    n_asked,
    shard_paths,
    shards_folder,
)
from jentmax.errors import JentmaxError
from jentmax.locking import locked, refuse_locked
from jentmax.shares import ALONE, Share

if TYPE_CHECKING:
    from jentmax.resuming import Earlier

_ROWS = 1024
"""Structures copied at a time."""


class Begin(Protocol):
    """`DatasetWriter.create`, with all that the files of a set have in common."""

    def __call__(self, path: Path, *, overwrite: bool) -> DatasetWriter:
        """Begin a file."""
        ...


@contextlib.contextmanager
def claimed(path: Path, share: Share) -> Iterator[None]:
    """Keep others from writing what this process is about to write.

    Raises:
        JentmaxError: if another process writes it, or a run of another number of processes writes
            the set.
    """
    refuse_existing(path, overwrite=True)
    if share != ALONE:
        with writing(path):
            shards_folder(path).mkdir(exist_ok=True)
    own = share.path(path)
    with locked(own):
        for other in _of_other_runs(path, share):
            refuse_locked(other)
        remove_partial(own)
        yield


def refuse_unasked(path: Path, share: Share, *, overwrite: bool, going_on: bool) -> None:
    """Refuse to write where structures are that nobody has asked to replace or to go on with.

    Args:
        path: of the set.
        share: what this process makes of it.
        overwrite: whether it may be replaced.
        going_on: whether it is asked to go on with it.

    Raises:
        JentmaxError: with what to do.
    """
    shards = shard_paths(path)
    if shards and not path.exists():
        some = next(iter(shards.values()))
        raise JentmaxError(
            f"{shards_folder(path)} holds structures of several processes, but {path} is missing, "
            f"which they have in common; put it back (any of them serves: cp {some} {path}) and go "
            "on with --resume, or remove that folder"
        )
    if share == ALONE:
        refuse_existing(path, overwrite or going_on)
        if shards and overwrite:
            raise JentmaxError(
                f"{shards_folder(path)} holds structures that several processes made; remove it, "
                "give another output, or go on with them (--resume)"
            )
        return
    refuse_existing(path, overwrite=True)
    if overwrite:
        raise JentmaxError(
            f"--overwrite: several processes cannot agree when to replace {path}; remove it and "
            f"{shards_folder(path)} beforehand, or give another output"
        )
    if going_on:
        return
    found = [
        name for (index, n), name in shards.items() if n != share.count or index == share.index
    ]
    if not found and path.exists():
        with Dataset(path, may_be_empty=True) as dataset:
            # Others of this run may have begun.
            found = [path] if len(dataset.paths) == 1 and len(dataset) else []
    if found:
        raise JentmaxError(
            f"{found[0]} exists; go on with it (--resume), remove it, or give another output"
        )


def begin_writing(
    begin: Begin,
    path: Path,
    share: Share,
    earlier: Earlier | None,
    overwrite: bool,
    n_rows: int,
) -> DatasetWriter:
    """Begin the file that a process writes, with what is there already of its structures.

    Args:
        begin: a file of the set.
        path: of the set.
        share: what this process makes of it.
        earlier: what earlier runs have left, if it is to go on with that.
        overwrite: whether the file may be replaced.
        n_rows: how many structures appends are about to have.
    """
    if share == ALONE:
        writer = begin(path, overwrite=overwrite or earlier is not None)
        if earlier:
            # And not in memory for as long as the run is.
            with Dataset(path, may_be_empty=True) as whole:
                writer.copy(whole, n_rows)
            _remove_shards(whole)
        return writer
    writer = begin(share.path(path), overwrite=True)
    try:
        _have_in_common(begin, path, writer)
        if earlier and earlier.own:
            with Dataset(share.path(path)) as own:
                writer.copy(own, n_rows)
    except BaseException:
        writer.close("running")
        raise
    return writer


def complete(dataset: Dataset) -> None:
    """Write down, in one file, that a set has all its structures."""
    if dataset.status != "complete" or len(dataset.paths) > 1:
        _write_as_one(dataset, dataset.path, "complete", overwrite=True)
        _remove_shards(dataset)


def merge(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Make one file of a set that several processes have made.

    Args:
        path: of the set.
        output: of the file; by default it takes the place of the others.
        overwrite: whether a file that stands at the output may be replaced.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: if there is no set, a process is writing it, or the file cannot be written.
    """
    source = Path(path)
    target = source if output is None else Path(output)
    in_place = os.path.exists(target) and os.path.samefile(source, target)
    refuse_existing(target, overwrite or in_place)
    with locked(target):
        # What processes are at work on is not copied, and less so removed.
        for other in ([] if in_place else [source]) + list(
            shard_paths(source, begun=True).values()
        ):
            refuse_locked(other)
        with Dataset(source) as dataset:
            if not in_place or len(dataset.paths) > 1:
                status = "complete" if dataset.status == "complete" else "running"
                _write_as_one(dataset, target, status, overwrite=overwrite or in_place)
            if in_place:
                _remove_shards(dataset)
    return target


def n_at_work(path: Path) -> int:
    """How many other processes are writing shards of a set, or about to."""
    count = 0
    for shard in shard_paths(path, begun=True).values():
        try:
            refuse_locked(shard)
        except JentmaxError:
            count += 1
    return count


def _of_other_runs(path: Path, share: Share) -> list[Path]:
    """Files of a set that are not written while a process has this share of it."""
    shards = shard_paths(path, begun=True).items()
    others = [name for (_, count), name in shards if count != share.count]
    return others if share == ALONE else [path, *others]


def _have_in_common(begin: Begin, path: Path, writer: DatasetWriter) -> None:
    """See that there is the file that all processes have in common, and that it is as this one's.

    Several may do so at once: each puts a whole file in its place, and all are the same.
    """
    if path.exists():
        with Dataset(path, shards=False, may_be_empty=True) as common:
            check_sibling(common, writer)
            if n_asked(common.settings) >= n_asked(writer.settings):
                return
            with begin(path, overwrite=True) as longer:
                longer.copy(common, _ROWS) if len(common) else longer.show_empty()
                longer.close("running")
    else:
        with begin(path, overwrite=True) as first:
            first.show_empty()
            first.close("running")


def _write_as_one(dataset: Dataset, path: Path, status: Status, overwrite: bool) -> None:
    with DatasetWriter.create(
        path,
        settings_toml=dataset.settings,
        seed=dataset.seed,
        device=dataset.device,
        scale=dataset.scale,
        shift=dataset.shift,
        versions=dataset.versions,
        overwrite=overwrite,
    ) as writer:
        writer.copy(dataset, _ROWS)
        writer.close(status)


def _remove_shards(dataset: Dataset) -> None:
    """Remove the shards of a set, whose structures are in its own file now, but for their logs."""
    folder = shards_folder(dataset.path)
    for shard in dataset.paths[1:]:
        shard.unlink(missing_ok=True)
        remove_partial(shard)
    with contextlib.suppress(OSError):  # what else is in it is somebody's
        folder.rmdir()
