"""Headers of files from elsewhere, whose checksums fit."""

import json

import h5py
import numpy as np
import pytest
from dataset_files import CHUNK, HEADER, TWO_STREAMS, edit, made

from jentmax.dataset import ChunkId, Dataset, Parts, reopen_set, write_set
from jentmax.dataset._hdf5 import checksum
from jentmax.errors import JentmaxError

CLEAR_SCREEN = "\x1b[2J"


def forged(path, **attributes):
    """Attributes of the root, with a checksum that fits."""

    def change(file):
        for name, value in attributes.items():
            file.attrs.create(name, value)
        texts = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in file.attrs.items()}
        file.attrs["checksum"] = np.uint32(checksum(texts))

    return edit(path, change)


def forged_text(path, name, text):
    return forged(path, **{name: np.array(text.encode(), f"S{max(len(text), 1)}")})


def test_rejected_structures_cannot_hold_more_than_the_memory():
    """Nothing of them is in the file, but a larger set that goes on from it has zeros for them."""
    parts, chunk = Parts("set.h5"), ChunkId(1, 0, 0)
    parts.begin(TWO_STREAMS)
    rows = made(chunk, TWO_STREAMS)
    rows.columns["status"][:] = 2
    parts.put(chunk, rows)
    parts.put(CHUNK, made(CHUNK))
    write_set(parts, 1)
    parts.remove_all()
    first, second = TWO_STREAMS["streams"]
    header = TWO_STREAMS | {"streams": [first, second | {"n_atoms": 10**9}]}
    forged_text(parts.output, "header", json.dumps(header))
    with pytest.raises(JentmaxError, match=r"set\.h5 is .*damaged: 2 structures of 1000000000"):
        reopen_set(parts)


def in_header(**changes):
    return "header", json.dumps(HEADER | changes)


def in_stream(**changes):
    return in_header(streams=[HEADER["streams"][0] | changes])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", ["jentmax"] * 2),
        ("kind", CLEAR_SCREEN),
        ("kind", h5py.Empty("f")),
        ("structures", 0),
        ("structures", 10**9),
        ("structures", "9" * 5000),
        ("header", np.zeros(1000)),
        ("header", ""),
        ("header", "[]"),
        ("header", "[" * 100_000),
        ("header", '{"seed": ' + "9" * 5000 + "}"),
        in_header(evil=CLEAR_SCREEN),
        in_header(versions={"jax": [CLEAR_SCREEN]}),
        in_header(scale=[1.0], shift=[0.0]),
        in_header(scale=[1.0, np.nan]),
        in_header(streams=HEADER["streams"][0]),
        in_stream(share=10**400),
        in_stream(n_atoms=3.0),
        in_stream(n_atoms=2),
        in_stream(batch_size=3),
    ],
)
def test_attributes_that_are_something_else(call, path, name, value):
    if isinstance(value, str):
        forged_text(path, name, value)
    else:
        edit(path, lambda file: file.attrs.create(name, value))
    code, _, errors = call(f"info {path}")
    assert code == 2, errors
    assert errors.startswith(f"error: {path}")
    assert CLEAR_SCREEN not in errors


def test_texts_of_any_length(path):
    """They stand in a heap without a checksum, and HDF5 may read a damaged one for ever."""
    edit(path, lambda file: file.attrs.create("kind", "of any length"))
    with pytest.raises(JentmaxError, match="must be one number or one text of fixed length"):
        Dataset(path)
