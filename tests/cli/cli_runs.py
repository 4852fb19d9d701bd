"""Runs of a few small structures and few steps; the same shapes, so that they compile once."""

from pathlib import Path

import numpy as np

from jentmax.dataset import Dataset

SETTINGS = """
steps = 20
cycles_per_chain = 2
batch_size = 4
entropy_weight = [100, 200]
scale = [2, 0.3, 0.5, 1, 0.6]

[start]
formula = "W12"
density = [0.028, 0.03]
aspect_ratio = [1.0, 1.05]

[descriptor]
cutoff = 3.6
twojmax = 2
components = 5

[quench]
steps = 5

[run]
structures = 11
"""

_TABLE = ""
FLAGS = []
"""The same as words of a command line."""
for _line in SETTINGS.splitlines():
    if _line.startswith("["):
        _TABLE = _line.strip("[]") + "."
    elif _line:
        FLAGS += ["--set", _TABLE + _line.replace(" ", "")]


def columns(path):
    """All that a data set holds of its structures, one dictionary per structure."""
    with Dataset(path) as dataset:
        return [
            {
                "positions": atoms.positions,
                "numbers": atoms.numbers,
                "cell": np.asarray(atoms.cell),
                "descriptors": atoms.arrays["descriptors"],
                **atoms.info,
            }
            for atoms in dataset
        ]


def assert_identical(ones, others):
    """Two sets are the same bit for bit, in all that is stored of their structures."""
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert np.array_equal(one[name], other[name]), name


def write_text(path, text):
    Path(path).write_text(text)
    return path


def contents():
    """All files below the folder, with what is in them."""
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
