"""Damaged and made-up files, given to everything that reads files: each must give a result or a
clear error, never a crash, a hang, a traceback or a terminal's control characters.

    python scripts/fuzz.py --cases 10000 --seed 0 --keep failures/

Cases are numbered: case k of a seed is the same file on every machine with the same packages. They
run in a worker process with limited time and memory, which is started anew when it is lost. Files
that fail are kept.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import multiprocessing
import multiprocessing.connection
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

SECONDS = 10.0
"""After which a case counts as hanging; the slowest takes some tenths."""

MEMORY = 2 << 30
"""Bytes that a case may take, beyond what the packages do."""

KINDS = {
    "complete.h5": 4,
    "rewritten.h5": 1,
    "made-up.h5": 2,
    "running.h5": 4,
    "set.extxyz": 3,
    "made-up.extxyz": 2,
    "run.toml": 2,
    "made-up.toml": 2,
}
"""How many of twenty cases are of each kind."""


@dataclass(frozen=True)
class Failure:
    """A case that gave neither a result nor a clear error."""

    case: int
    kind: str
    what: str
    file: str


def samples(folder: Path) -> dict[str, bytes]:
    """Good files: data sets that are complete and running, extended XYZ, settings."""
    import ase.io

    import jentmax
    from jentmax.config import to_toml
    from jentmax.dataset import Dataset, DatasetWriter, Rows

    settings = jentmax.load("tungsten", SETTINGS)
    rng = np.random.default_rng(0)
    batches = []
    for first in (0, 4):
        index = np.arange(first, first + 4)
        batches.append(
            Rows(
                index=index,
                counts=np.full(4, 12),
                cell=rng.normal(size=(4, 3, 3)) + 9 * np.eye(3),
                periodic=np.ones((4, 3), int),
                positions=rng.uniform(0, 9, size=(48, 3)),
                numbers=np.full(48, 74),
                descriptors=rng.normal(size=(48, 5)),
                chain=index // 2,
                cycle=index % 2,
                attempt=np.zeros(4, int),
                status=np.zeros(4, int),
                **{name: rng.normal(size=4) for name in NUMBERS},
            )
        )
    found: dict[str, bytes] = {}
    path = folder / "set.h5"
    with DatasetWriter.create(
        path,
        settings_toml=to_toml(settings),
        seed=0,
        device="CPU",
        scale=np.ones(5),
        shift=np.zeros(5),
        versions={"jentmax": "0.1.0", "python": "3.11"},
    ) as writer:
        for rows in batches:
            writer.append(rows)
        found["running.h5"] = path.read_bytes()
    found["complete.h5"] = path.read_bytes()
    with h5py.File(path, "r+", libver="v110") as file:
        for name in ("format", "kind", "created", "versions", "device", "settings"):
            file.attrs[name] = file.attrs[name].decode()  # as others write texts: of any length
    found["rewritten.h5"] = path.read_bytes()
    with Dataset(path) as dataset:
        structures = list(dataset)
    for k, atoms in enumerate(structures):
        atoms.info["config_type"] = f"group {k % 3}"
    ase.io.write(folder / "set.extxyz", structures)
    found["set.extxyz"] = (folder / "set.extxyz").read_bytes()
    found["run.toml"] = to_toml(settings).encode()
    return found


NUMBERS = ("energy", "repulsion", "entropy", "entropy_weight", "least_distance", "temperature")
SETTINGS = (
    "run.structures=8",
    "run.batch_size=4",
    "run.cycles_per_chain=2",
    "system.n_atoms=12",
    "system.density=0.03",
    "descriptor.twojmax=2",
    "descriptor.components=5",
    "scaling.kind=given",
    "scaling.scale=[2, 0.3, 0.5, 1, 0.6]",
)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with up to a few of the damages that files suffer."""
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
    """An HDF5 file whose description of one of its objects is damaged, checksums made to fit."""
    damaged = bytearray(content)
    headers = [found.start() for found in re.finditer(rb"OHDR|FRHP|FADB|EAHD|EADB|BTHD", content)]
    for _ in range(int(rng.integers(1, 3))):
        place = int(rng.choice(headers)) + int(rng.integers(6, 300))
        damaged[place : place + 1] = bytes(
            [int(rng.choice([0, 1, 2, 127, 255, rng.integers(256)]))]
        )
    return with_checksums(bytes(damaged))


def with_checksums(content: bytes) -> bytes:
    """A damaged HDF5 file whose checksums fit again, so that HDF5 believes what stands there."""
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
    """Jenkins's hash, HDF5's checksum of metadata."""
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


def made_up_toml(rng: np.random.Generator) -> bytes:
    """Settings with values of all types in all fields."""
    from jentmax.config.settings import KINDS as SECTIONS
    from jentmax.config.settings import Settings

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

    lines = []
    sections = list(Settings.model_fields)
    for section in rng.permutation(sections)[: rng.integers(1, 4)]:
        models = SECTIONS.get(section)
        lines.append(f"[{section}]")
        if models is None:
            model = Settings.model_fields[section].annotation
        else:
            kind = str(rng.choice([*models, "none"]))
            model = models.get(kind, next(iter(models.values())))
            if rng.random() < 0.8:
                lines.append(f'kind = "{kind}"')
        fields = [name for name in model.model_fields if name != "kind"]
        for name in rng.permutation(fields)[: rng.integers(0, 4)] if fields else []:
            lines.append(f"{name} = {value()}")
        if rng.random() < 0.1:
            lines.append(f'"{rng.choice(["a", "é", "kind ", ""])}" = {value()}')
    return "\n".join(lines).encode()


ATTRIBUTES = ["", "x", "\x1b[31m", "generated", "[" * 5000, '{"a": 1}', "[1]", "-5", 0, -1, 2**62]
ATTRIBUTES += [1.5, np.nan, [1, 2], np.array(b"x\xff"), h5py.Empty("f"), "run = 1"]
ATTRIBUTES += ["[run]\nbatch_size = 4\n", "a = " + "9" * 5000]
NUMBERS_AT_ENDS = [0, -1, 1, 5, 2**62, -(2**62), np.nan, np.inf, 1e300, 127, 300]


def made_up_data_set(content: bytes, rng: np.random.Generator) -> bytes:
    """A data set, some of whose attributes and columns hold something else."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        columns = [f"{group}/{name}" for group in file for name in file[group]]
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() < 0.4:
                name = str(rng.choice(list(file.attrs)))
                file.attrs[name] = ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
            else:
                name = columns.pop(int(rng.integers(len(columns))))
                _replace_column(file, name, rng)
    return stream.getvalue()


def _replace_column(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = file[name][()]
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


def case_of(number: int, seed: int, good: dict[str, bytes]) -> tuple[str, bytes]:
    """Kind and content of a case."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice([kind for kind, count in KINDS.items() for _ in range(count)]))
    if kind == "made-up.extxyz":
        return kind, made_up_xyz(rng)
    if kind == "made-up.toml":
        return kind, made_up_toml(rng)
    if kind == "made-up.h5":
        return kind, made_up_data_set(good["complete.h5"], rng)
    # The space that is reserved in running files would take most of the mutations.
    content = good[kind].rstrip(b"\0")
    if kind.endswith(".h5") and rng.random() < 0.4:
        content = misdescribed(content, rng)
    else:
        content = mutated(content, rng)
    if rng.random() < 0.9:
        content = content.ljust(len(good[kind]), b"\0")
    if kind.endswith(".h5") and rng.random() < 0.5:
        content = with_checksums(content)
    return kind, content


def attempt(path: Path) -> str:
    """What the commands do with a file: "result", or "error: ..." for a clear error.

    Raises:
        Exception: whatever is no clear error.
    """
    from jentmax.errors import JentmaxError

    read = {".h5": _data_set, ".extxyz": _structures, ".toml": _settings}[path.suffix]
    try:
        read(path)
    except JentmaxError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error
        return f"error: {error}"
    return "result"


def _data_set(path: Path) -> None:
    import jentmax
    from jentmax.console import print_info
    from jentmax.dataset import Dataset
    from jentmax.errors import JentmaxError
    from jentmax.resuming import Earlier
    from jentmax.shares import ALONE
    from jentmax.structures import read_structures

    errors = []

    def tried(action: Callable[[], object]) -> None:
        """One clear error is no reason to leave out the rest."""
        try:
            action()
        except JentmaxError as error:
            errors.append(error)

    with Dataset(path) as dataset:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            tried(lambda: print_info(dataset))
        _no_control(shown.getvalue())
        for name in dataset.columns:
            named = {"cell": "cells", "status": "structure_status"}.get(name, name)
            tried(lambda named=named: getattr(dataset, named))
        tried(lambda: list(dataset))
        tried(lambda: dataset.rows(slice(0, 3)))
    tried(lambda: read_structures(path))
    settings = jentmax.load("tungsten", SETTINGS)

    def resumed() -> None:
        earlier = Earlier(path, settings, ALONE, True)
        earlier.entropy_weight(12)
        for number in earlier.unfinished(settings, {12: range(5)}).get(12, []):
            earlier.chain(settings, number)

    tried(resumed)
    if errors:
        raise errors[0]


def _structures(path: Path) -> None:
    from jentmax.structures import read_structures

    structures = read_structures(path)
    for group in structures.groups:
        _no_control(str(group))
    for k in range(len(structures)):
        structures.atoms(k)


def _settings(path: Path) -> None:
    from jentmax.config import load, loads, to_toml
    from jentmax.errors import JentmaxError

    with contextlib.suppress(JentmaxError):
        load(path, element="Fe")
    text = to_toml(load(path))
    if to_toml(loads(text, "again", own_code=True)) != text:
        raise AssertionError("settings are not those that were written")


def _no_control(text: str) -> None:
    if found := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text):
        raise AssertionError(f"control character {found.group()!r} for the terminal")


def _work(link: multiprocessing.connection.Connection, memory: int) -> None:
    """Run the cases that come through the link, until there is none."""
    import jax  # before memory is limited  # noqa: F401

    import jentmax.console
    import jentmax.resuming
    import jentmax.structures  # noqa: F401

    warnings.simplefilter("ignore")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    link.send("ready")
    while path := link.recv():
        try:
            link.send(attempt(Path(path)))
        except BaseException:
            link.send("traceback: " + traceback.format_exc())


class Worker:
    """A process that runs cases, started anew when one kills it or takes too long."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, path: Path) -> str:
        """What became of a case: as `attempt`, or "traceback: ...", "hang" or "crash ..."."""
        if self._process is None:
            self._link, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(theirs, self.memory))
            self._process.start()
            theirs.close()
            self._link.recv()
        self._link.send(str(path))
        try:
            if self._link.poll(self.seconds):
                return self._link.recv()
            outcome = f"hang: more than {self.seconds} s"
        except (EOFError, ConnectionError):
            self._process.join()
            outcome = f"crash: exit code {self._process.exitcode}"
        self._stop()
        return outcome

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def failures(
    numbers: range, seed: int, keep: Path | None, outcomes: collections.Counter[str]
) -> Iterator[Failure]:
    """Run cases; those that fail, as they do."""
    with tempfile.TemporaryDirectory() as name, Worker() as worker:
        folder = Path(name)
        good = samples(folder)
        for number in numbers:
            kind, content = case_of(number, seed, good)
            path = folder / f"case{Path(kind).suffix}"
            path.write_bytes(content)
            began = time.monotonic()
            outcome = worker.run(path)
            outcomes["seconds, longest"] = max(
                outcomes["seconds, longest"], int(time.monotonic() - began + 1)
            )
            outcomes[f"{kind}: {outcome.partition(':')[0]}"] += 1
            if outcome.startswith(("result", "error")):
                continue
            kept = path
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                kept = keep / f"seed-{seed}-case-{number}-{kind}"
                shutil.copy(path, kept)
            yield Failure(number, kind, outcome, str(kept))


def main() -> int:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="for failures")
    given = parser.parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    numbers = range(given.first, given.first + given.cases)
    failed = 0
    began = time.monotonic()
    for failure in failures(numbers, given.seed, given.keep, outcomes):
        failed += 1
        print(f"seed {given.seed}, case {failure.case}, {failure.file}\n{failure.what}", flush=True)
    for what, count in sorted(outcomes.items()):
        print(f"{count:7} {what}")
    print(f"{given.cases} cases in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
