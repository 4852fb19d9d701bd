"""Damaged and made-up files, for scripts/fuzz.py."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from jentmax.dataset import Structures

KINDS = {
    "complete.h5": 4,
    "made-up.h5": 2,
    "part.npz": 3,
    "set.json": 2,
    "set.extxyz": 3,
    "made-up.extxyz": 2,
    "run.toml": 2,
    "made-up.toml": 2,
}
"""Weights of the kinds of files."""


UNDER_WAY = "under-way.h5"
"""A good unfinished set, next to the cases' folders; a damaged part replaces one of its parts."""

NUMBERS = ("energy", "repulsion", "entropy", "entropy_weight", "least_distance", "temperature")

OVERRIDES = (
    "start.formula=W12",
    "start.density=0.03",
    "batch_size=4",
    "cycles_per_chain=2",
    "descriptor.twojmax=2",
    "descriptor.components=5",
    "scale=[2, 0.3, 0.5, 1, 0.6]",
)


def samples(folder: Path) -> dict[str, bytes]:
    """Good files: a complete data set, files of an unfinished set, extended XYZ, a recipe."""
    import ase.io

    from jentmax.config import load, to_toml
    from jentmax.dataset import ChunkId, Dataset, Parts, write_set

    tree, _ = load("tungsten", OVERRIDES)
    header = {
        "recipe": tree,
        "seed": 0,
        "precision": "float32",
        "streams": [
            {
                "formula": "W12",
                "n_atoms": 12,
                "share": 1.0,
                "batch_size": 4,
                "entropy_weight": 100.0,
            }
        ],
        "scale": [1.0] * 5,
        "shift": [0.0] * 5,
        "versions": {"jentmax": "0.2.0", "python": "3.11"},
        "device": "CPU",
        "created": "2026-01-02T03:04:05+00:00",
    }
    parts = Parts(folder / UNDER_WAY)
    parts.remove_all()
    parts.begin(header)
    chunks = [ChunkId(0, 0, cycle) for cycle in range(2)]
    for chunk in chunks:
        parts.put(chunk, made_chunk(chunk.cycle))
    found = {
        "part.npz": (parts.folder / chunks[-1].file_name).read_bytes(),
        "set.json": (parts.folder / "set.json").read_bytes(),
    }
    path = parts.output
    path.unlink(missing_ok=True)
    write_set(parts, 7)
    found["complete.h5"] = path.read_bytes()
    with Dataset(path) as dataset:
        structures = list(dataset)
    for k, atoms in enumerate(structures):
        atoms.info["config_type"] = f"group {k % 3}"
    ase.io.write(folder / "set.extxyz", structures)
    found["set.extxyz"] = (folder / "set.extxyz").read_bytes()
    found["run.toml"] = to_toml(tree).encode()
    return found


def made_chunk(cycle: int) -> Structures:
    """Four invented structures of twelve atoms."""
    from jentmax.dataset import Structures

    rng = np.random.default_rng(cycle)
    columns = {"row": np.arange(4), "chain": np.arange(4), "cycle": np.full(4, cycle)}
    columns["status"] = np.array([0, 0, 0, 2 * cycle], np.int8)
    return Structures(
        positions=rng.uniform(0, 9, size=(48, 3)),
        numbers=np.full(48, 74),
        cells=rng.normal(size=(4, 3, 3)) + 9 * np.eye(3),
        pbc=np.ones((4, 3), bool),
        pointer=12 * np.arange(5),
        columns=columns | {name: rng.normal(size=4) for name in NUMBERS},
        atom_columns={"descriptors": rng.normal(size=(48, 5)).astype(np.float32)},
    )


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few typical kinds of damage."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        size = len(damaged)
        if size < 4:
            break
        place = int(rng.integers(size))
        length = int(min(2 ** rng.uniform(0, 10), size - place))
        match rng.integers(9):
            case 0 | 1:
                damaged[place] ^= 1 << int(rng.integers(8))
            case 2:
                damaged[place : place + length] = rng.bytes(length)
            case 3:
                damaged[place : place + length] = bytes([int(rng.choice([0, 255]))]) * length
            case 4:
                del damaged[place : place + length]
            case 5:
                source = int(rng.integers(size))
                damaged[place:place] = damaged[source : source + length]
            case 6:
                source = int(rng.integers(size))
                moved = damaged[source : source + length]
                damaged[place : place + len(moved)] = moved
            case 7:
                number = int(rng.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, 2**40]))
                damaged[place : place + 8] = number.to_bytes(8, "little", signed=True)
            case 8 if rng.random() < 0.3:
                del damaged[place:]
    return bytes(damaged)


def misdescribed(content: bytes, rng: np.random.Generator) -> bytes:
    """An HDF5 file with damaged metadata of one object and matching checksums."""
    damaged = bytearray(content)
    headers = [found.start() for found in re.finditer(rb"OHDR|FRHP|FADB|EAHD|EADB|BTHD", content)]
    for _ in range(int(rng.integers(1, 3))):
        place = int(rng.choice(headers)) + int(rng.integers(6, 300))
        damaged[place : place + 1] = bytes(
            [int(rng.choice([0, 1, 2, 127, 255, int(rng.integers(256))]))]
        )
    return with_checksums(bytes(damaged))


def with_checksums(content: bytes) -> bytes:
    """A damaged HDF5 file with matching checksums, so that HDF5 trusts its contents."""
    damaged = bytearray(content)
    for place in [found.start() for found in re.finditer(rb"OHDR", content)]:
        flags = damaged[place + 5] if place + 6 < len(damaged) else 0
        size_at = place + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(damaged[size_at : size_at + width], "little")
        _seal(damaged, place, size_at + width + size)
    _seal(damaged, 0, 44)
    return bytes(damaged)


def _seal(data: bytearray, start: int, end: int) -> None:
    if end + 4 <= len(data):
        data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")


def lookup3(data: bytes) -> int:
    """Jenkins hash, HDF5's checksum of metadata."""
    mask = 0xFFFFFFFF

    def turned(value: int, bits: int) -> int:
        return ((value << bits) | (value >> (32 - bits))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    while len(data) > 12:
        a = (a + int.from_bytes(data[:4], "little")) & mask
        b = (b + int.from_bytes(data[4:8], "little")) & mask
        c = (c + int.from_bytes(data[8:12], "little")) & mask
        a = (a - c) & mask ^ turned(c, 4)
        c = (c + b) & mask
        b = (b - a) & mask ^ turned(a, 6)
        a = (a + c) & mask
        c = (c - b) & mask ^ turned(b, 8)
        b = (b + a) & mask
        a = (a - c) & mask ^ turned(c, 16)
        c = (c + b) & mask
        b = (b - a) & mask ^ turned(a, 19)
        a = (a + c) & mask
        c = (c - b) & mask ^ turned(b, 4)
        b = (b + a) & mask
        data = data[12:]
    if not data:
        return c
    data = data.ljust(12, b"\0")
    a = (a + int.from_bytes(data[:4], "little")) & mask
    b = (b + int.from_bytes(data[4:8], "little")) & mask
    c = (c + int.from_bytes(data[8:12], "little")) & mask
    c = ((c ^ b) - turned(b, 14)) & mask
    a = ((a ^ c) - turned(c, 11)) & mask
    b = ((b ^ a) - turned(a, 25)) & mask
    c = ((c ^ b) - turned(b, 16)) & mask
    a = ((a ^ c) - turned(c, 4)) & mask
    b = ((b ^ a) - turned(a, 14)) & mask
    return ((c ^ b) - turned(b, 24)) & mask


WORDS = ["", "nan", "inf", "-1", "0", "1e999", "9" * 30, "T", "F", "W", "Fe", "Xx", "X", "\x1b[2J"]
WORDS += [
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    "\\",
    "=",
    ":",
    "_JSON [",
    '_JSON {"a": [1]}',
    "\u202e",
    "日",
]


def made_up_xyz(rng: np.random.Generator) -> bytes:
    """Text that looks like extended XYZ."""

    def word() -> str:
        if rng.random() < 0.5:
            return f"{rng.normal() * 10 ** rng.uniform(-3, 8):.6g}"
        return str(rng.choice(WORDS))

    lines = []
    for _ in range(int(rng.integers(1, 5))):
        n_atoms = int(rng.integers(0, 6))
        claims = [n_atoms, n_atoms, n_atoms, n_atoms, -1, 10**12, 10**30, "x", "", "5_0", "٣"]
        lines.append(str(claims[int(rng.integers(len(claims)))]))
        columns = ["species:S:1:pos:R:3"] * 4
        columns += ["pos:R:3", "Z:I:1:pos:R:3", "species:S:1", "pos:R:1000000000", "pos:R:-1"]
        columns += ["species:S:1:pos:R:3:move_mask:L:1", "species:S:1:pos:R:3:forces:R:3", ":::"]
        parts = ["Properties=" + str(rng.choice(columns))]
        cell = " ".join(word() if rng.random() < 0.1 else "5" for _ in range(9))
        parts.append(f'Lattice="{cell}"')
        for name in ("pbc", "config_type", "energy", "stress", "jentmax_index", "selection_rank"):
            if rng.random() < 0.3:
                quote = str(rng.choice(['"', "'", ""]))
                words = [word() for _ in range(rng.integers(1, 4))]
                parts.append(f"{name}={quote}{' '.join(words)}{quote}")
        lines.append(" ".join(map(str, rng.permutation(parts))))
        for _ in range(n_atoms):
            numbers = [word() if rng.random() < 0.1 else f"{rng.normal():.3f}" for _ in range(3)]
            symbol = word() if rng.random() < 0.1 else "W"
            lines.append(" ".join([symbol, *numbers, *(["1 2 3"] if rng.random() < 0.2 else [])]))
    return "\n".join(lines).encode() + b"\n"


def tables() -> dict[str, dict[str, Callable]]:
    """Classes and functions for each table of a recipe, by table and kind."""
    import jentmax
    from jentmax.config import RunOptions
    from jentmax.fields import KINDS as PLACES

    components = {}
    for kind, place in PLACES.items():
        module, _, name = place.partition(":")
        components[kind] = getattr(importlib.import_module(module), name)
    named = ("start", "descriptor", "repulsion", "entropy", "sampler")
    return dict.fromkeys(named, components) | {
        "scale": {"": jentmax.FitScale},
        "quench": {"": jentmax.Quench},
        "run": {"": RunOptions},
        "": {"": jentmax.Recipe},
    }


def made_up_toml(rng: np.random.Generator) -> bytes:
    """Recipes with values of all types in all fields."""
    from jentmax.fields import fields_of

    def value(depth: int = 0) -> str:
        some = ["0", "1", "-1", "1.5", "inf", "-inf", "nan", "1e308", "1e-308", "true", '""', '"W"']
        some += ['"auto"', '"all"', '"module:name"', '"os:system"', "2024-01-01", "12:00:00", "{}"]
        some += ["9" * 25, "9" * 5000, "0x" + "f" * 5000, '"\\u0000"', '"\\U0001F600"', "[]"]
        some += ["[" * 3000 + "]" * 3000, "{ a = " * 500 + "1" + "}" * 500, '"' + "x" * 10000 + '"']
        if depth < 3 and rng.random() < 0.2:
            return "[" + ", ".join(value(depth + 1) for _ in range(rng.integers(0, 4))) + "]"
        if depth < 3 and rng.random() < 0.1:
            return "{ W = " + value(depth + 1) + " }"
        if rng.random() < 0.3:
            return f"{rng.normal() * 10 ** rng.uniform(-3, 5):.4g}"
        return str(rng.choice(some))

    lines, known = [], tables()
    chosen = rng.permutation(sorted(known))[: rng.integers(1, 4)]
    for table in sorted(map(str, chosen)):  # the recipe's own fields come first
        kinds = known[table]
        kind = str(rng.choice(sorted(kinds)))
        if table:
            lines.append(f"[{table}]")
        if kind and rng.random() < 0.8:
            lines.append(f'kind = "{kind if rng.random() < 0.9 else "none"}"')
        fields = list(fields_of(kinds[kind]))
        for name in rng.permutation(fields)[: rng.integers(0, 4)] if fields else []:
            lines.append(f"{name} = {value()}")
        if rng.random() < 0.1:
            lines.append(f'"{rng.choice(["a", "é", "kind ", ""])}" = {value()}')
    return "\n".join(lines).encode()


ATTRIBUTES = ["", "x", "\x1b[31m", "generated", "[" * 5000, '{"a": 1}', "[1]", "-5", 0, -1, 2**62]
ATTRIBUTES += [1.5, np.nan, [1, 2], np.array(b"x\xff"), h5py.Empty("f"), "{}"]
ATTRIBUTES += ['{"steps": ' + "9" * 5000 + "}", '{"sampler": {"kind": "os:system"}}']
NUMBERS_AT_ENDS = [0, -1, 1, 5, 2**62, -(2**62), np.nan, np.inf, 1e300, 127, 300]


def made_up_data_set(content: bytes, rng: np.random.Generator) -> bytes:
    """A data set with wrong values in some attributes and columns."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        columns = [f"{group}/{name}" for group, holds in file.items() for name in holds]
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() < 0.4:
                name = str(rng.choice(list(file.attrs)))
                file.attrs[name] = ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
            else:
                name = columns.pop(int(rng.integers(len(columns))))
                _replace_column(file, name, rng)
    return stream.getvalue()


def _replace_column(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = np.asarray(file[name])
    del file[name]
    match rng.integers(9):
        case 0 | 1:
            place = tuple(rng.integers(values.shape))
            with contextlib.suppress(ValueError, OverflowError), np.errstate(all="ignore"):
                values[place] = NUMBERS_AT_ENDS[int(rng.integers(len(NUMBERS_AT_ENDS)))]
            file[name] = values
        case 2:
            file[name] = values[: int(rng.integers(len(values) + 1))]
        case 3:
            kind = str(rng.choice(["int8", "uint64", "float16", "float32", "S3", "int64"]))
            file[name] = values.astype(kind)
        case 4:
            file[name] = values[..., None]
        case 5:
            file[name] = np.zeros(values.shape, [("a", "f8"), ("b", "i4")])
        case 6:
            file[name] = h5py.SoftLink("/atoms/positions")
        case 7:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
        case 8:
            shape = tuple(10 ** int(rng.integers(0, 8)) for _ in values.shape)
            file.create_dataset(name, shape, values.dtype, chunks=tuple(min(n, 99) for n in shape))


def content_of(kind: str, rng: np.random.Generator, good: dict[str, bytes]) -> bytes:
    """A damaged or made-up file of a kind."""
    if kind == "made-up.extxyz":
        return made_up_xyz(rng)
    if kind == "made-up.toml":
        return made_up_toml(rng)
    if kind == "made-up.h5":
        return made_up_data_set(good["complete.h5"], rng)
    content = good[kind]
    if kind.endswith(".h5") and rng.random() < 0.4:
        content = misdescribed(content, rng)
    else:
        content = mutated(content, rng)
    if rng.random() < 0.9:
        content = content.ljust(len(good[kind]), b"\0")
    if kind.endswith(".h5") and rng.random() < 0.5:
        content = with_checksums(content)
    return content
