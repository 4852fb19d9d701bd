"""jentmax data sets among ASE's formats: ``ase.io.read("tungsten.h5@:")``, ``ase gui``.

ASE imports this module with ``ase.io``, through the entry point in pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ase.utils.plugins import ExternalIOFormat

from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

# Recognised by content: other programs' HDF5 files end in .h5, too.
jentmax_format = ExternalIOFormat(
    desc="jentmax data set",
    code="+S",
    module="jentmax.dataset.ase_io",
    magic_regex=rb"\x89HDF\r\n\x1a\n.*jentmax",
)


def read_jentmax(filename: str, index: int | slice | str = -1) -> Iterator[Atoms]:
    """Structures of a data set file, one by one; ASE calls this.

    Args:
        filename: path of the file.
        index: which structures; ASE turns a single number k into ``slice(k, None)`` and takes
            the first.

    Raises:
        JentmaxError: the file cannot be read, or the index is neither a number nor a range.
        IndexError: there is no such structure.
    """
    from jentmax.dataset import Dataset

    if isinstance(index, str):
        raise JentmaxError(
            f"{filename}@{index}: {index!r} is no index; give a number or a range such as 0, 10:20"
        )
    with Dataset(filename) as dataset:
        if isinstance(index, slice):
            chosen = range(*index.indices(len(dataset)))
            if not chosen and index.start is not None and index.stop is None:
                dataset[index.start]  # says what there is; ASE would only raise StopIteration
        else:
            chosen = (index,)
        for k in chosen:
            yield dataset[k]
