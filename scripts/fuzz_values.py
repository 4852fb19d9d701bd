"""Names and values of labels of many kinds, and how they compare, for scripts/fuzz.py."""

from __future__ import annotations

from typing import Any

import numpy as np

KEYS: list[Any] = [
    "REF_energy",
    "energy",
    "free_energy",
    "stress",
    "virial",
    "REF_stress",
    "dipole",
]
KEYS += ["config_type", "group", "weight", "energy_effective", "jentmax_index", "selection_rank"]
KEYS += ["é", "with space", "a=b", "a:b", "a-b", "", "1", "Fe", "H2O", "id", "unique_id", "natoms"]
KEYS += ["Lattice", "Properties", "pbc", "cell", "positions", "numbers", "name", "forces", "tags"]
KEYS += ["index", "reference_energy", "info:energy", "constraints", "descriptors", 5, "x" * 80]
KEYS += ["data_group", "energy_result", "calculator", "celldisp", "entropy", "duplicate", "status"]

ARRAYS = ["REF_forces", "forces", "charges", "magmoms", "initial_magmoms", "initial_charges"]
ARRAYS += ["momenta", "tags", "masses", "é", "a b", "Z", "species", "pos", "move_mask", "stresses"]
ARRAYS += ["descriptors", "energies", "energy", "mask", "labels", "numbers_of", "info:forces"]

RESULTS = ["energy", "free_energy", "forces", "stress", "magmoms", "dipole", "stresses", "energies"]
RESULTS += ["charges", "magmom", "REF_x", "hessian", "polarization", "born_effective_charges"]

TEXTS = [
    "plain",
    "two words",
    'a"b',
    "a'b",
    "a=b",
    "a\nb",
    "é Å",
    "a\\b",
    "1.5",
    "T",
    "None",
    "nan",
]
TEXTS += ["", "[1, 2]", " lead", "trail ", "_JSON x", "{a}", "1", "x" * 300, "日本", "#c", "a,b"]


def value(rng: np.random.Generator, depth: int = 0) -> Any:
    """A value that info may contain."""
    number = float(rng.normal() * 10 ** rng.uniform(-12, 12))
    plain: list[Any] = [number, round(number), True, False, 2**40, -(2**62), np.nan, np.inf, 0.0]
    plain += [np.float32(0.1), np.int8(-3), np.uint16(7), np.bool_(True), None, 1e-300, 1e300]
    plain += [rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=9), rng.normal(size=6)]
    plain += [np.arange(4), np.array([True, False]), np.array(["a", "b c"]), rng.normal(size=1)]
    plain += [np.array(1.5), np.zeros((0,)), rng.normal(size=(2, 3)), rng.normal(size=(2, 2, 2))]
    plain += [1.5 + 2j, b"bytes", np.datetime64("2026-01-01"), [1, 2], [1.5], ["a", "b"], (1, 2)]
    plain += [[], {}, [[1], [2, 3]], ["a", 1], {"a": 1}, {"a": {"b": [1.5, "x"]}}, [True, False]]
    if rng.random() < 0.4:
        return str(rng.choice(TEXTS))
    if depth < 2 and rng.random() < 0.1:
        return {str(rng.choice(["a", "é", "b c"])): value(rng, depth + 1)}
    return plain[int(rng.integers(len(plain)))]


def array(rng: np.random.Generator, name: str, n: int) -> np.ndarray:
    """A value that arrays may contain, with the shape for ASE's names."""
    of_numbers = {"initial_magmoms", "initial_charges", "masses", "charges", "energies", "magmoms"}
    if name in of_numbers:
        return rng.uniform(1, 9, n)
    if name == "momenta":
        return rng.normal(size=(n, 3))
    if name == "tags":
        return rng.integers(0, 9, n)
    made = [
        rng.normal(size=(n, 3)),
        rng.normal(size=n),
        rng.integers(-5, 5, n),
        rng.random(n) < 0.5,
    ]
    made += [rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 9, n).astype(np.uint8)]
    made += [np.array([f"l{k} é"[: 2 + k % 3] for k in range(n)]), rng.normal(size=(n, 1))]
    made += [rng.normal(size=(n, 3, 3)), np.full(n, np.nan), rng.normal(size=(n, 3)) * 1e-9]
    made += [np.array([None, *range(n - 1)], object), rng.integers(0, 9, (n, 2)), np.zeros((n, 0))]
    return made[int(rng.integers(len(made)))]


def result(rng: np.random.Generator, name: str, n: int) -> Any:
    """What a calculator may give under a name."""
    if name in ("forces", "REF_x"):
        return rng.normal(size=(n, 3))
    if name in ("energies", "charges", "magmoms"):
        return rng.normal(size=n)
    shapes = {"stress": 6, "dipole": 3, "polarization": 3, "stresses": (n, 6), "hessian": (3, 3)}
    shapes["born_effective_charges"] = (n, 3, 3)
    if name in shapes:
        return rng.normal(size=shapes[name])
    return [float(rng.normal()), float(rng.normal()), np.float32(0.1), np.nan, 3][rng.integers(5)]


def equal(one: Any, other: Any) -> bool:
    """Whether a value is as it was: numbers to seven digits, tables and lists by their entries."""
    if isinstance(one, dict) or isinstance(other, dict):
        if not (isinstance(one, dict) and isinstance(other, dict)):
            return False
        named, others = ({str(k): v for k, v in table.items()} for table in (one, other))
        return named.keys() == others.keys() and all(equal(named[k], others[k]) for k in named)
    first, second = _array(one), _array(other)
    if first.dtype.kind in "iufc" and second.dtype.kind in "iufc":
        if first.size != second.size:
            return False
        ways = (first.ravel(), first.ravel("F"), np.sort(first.ravel()))
        rows = (second.ravel(), second.ravel(), np.sort(second.ravel()))
        return any(
            np.allclose(a, b, rtol=1e-6, atol=1e-8, equal_nan=True)
            for a, b in zip(ways, rows, strict=True)
        )
    return _listed(one) == _listed(other)


def _array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # of several lengths
        return np.array(repr(value), object)


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        listed = [_listed(one) for one in value]
        return listed[0] if len(listed) == 1 else listed
    return value
