"""Disk space taken before HDF5 needs it.

HDF5 does not recover from a full disk: the file cannot be closed any more and the process crashes
at its end. With the space taken beforehand, a full disk is an ordinary OSError.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py

# Room for HDF5's own bookkeeping of one append, far more than it takes.
BOOKKEEPING = 1 << 20


def probe(path: Path, n_bytes: int) -> None:
    """Create a file and see that it can grow to so many bytes."""
    with open(path, "xb") as file:
        try:
            _allocate(file.fileno(), 0, n_bytes)
        except OSError:
            path.unlink()
            raise


def reserve(file: h5py.File, n_bytes: int) -> None:
    """Take the space for an append of so many bytes."""
    _allocate(file.id.get_vfd_handle(), file.id.get_filesize(), n_bytes + BOOKKEEPING)


def release(file: h5py.File) -> None:
    """Give back what was taken and not used, before the file is closed."""
    file.flush()
    os.ftruncate(file.id.get_vfd_handle(), file.id.get_filesize())


def _allocate(descriptor: int, start: int, n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        try:
            os.posix_fallocate(descriptor, start, n_bytes)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that cannot
                raise
    # No space is taken, but the file is as long as its header may soon say: one that is cut
    # short by a kill would be taken for a truncated one.
    os.ftruncate(descriptor, start + n_bytes)
