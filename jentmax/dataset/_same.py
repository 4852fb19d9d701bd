"""Compare a value read from a file with the written one."""

from __future__ import annotations

from typing import Any

import numpy as np


def same(one: Any, other: Any) -> bool:
    """Whether a value read from a file equals the written one.

    Numbers may differ by the rounding of eight decimal places, as extended XYZ has, but not be lost
    in it. Lists count as arrays, arrays of one number as that number, and 3 by 3 numbers in a
    row as a matrix.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        named, others = ({str(k): v for k, v in table.items()} for table in (one, other))
        return named.keys() == others.keys() and all(same(named[k], others[k]) for k in named)
    try:
        first, second = np.asarray(one), np.asarray(other)
    except ValueError:  # lists of lists of several lengths
        first, second = np.empty(0, object), np.empty(0, object)
    if first.dtype.kind == second.dtype.kind == "b":
        return first.size == second.size and bool((first.ravel() == second.ravel()).all())
    if first.dtype.kind in "iufc" and second.dtype.kind in "iufc" and first.size == second.size:
        orders = ("C",) if first.shape == second.shape else ("C", "F")
        return any(_close(first.ravel(order), second.ravel()) for order in orders)
    if first.dtype.kind in "SU" and second.dtype.kind in "SU":
        return first.shape == second.shape and bool((first == second).all())
    return _listed(one) == _listed(other)


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    small = first.dtype.kind in "fc" and first.dtype.itemsize <= 4
    if not np.allclose(second, first, rtol=1e-6 if small else 1e-9, atol=1e-8, equal_nan=True):
        return False
    finite = np.isfinite(first)
    difference, size = np.abs(second[finite] - first[finite]), np.abs(first[finite])
    return bool(difference.max(initial=0) <= 1e-4 * size.max(initial=0))


def _listed(value: Any) -> Any:
    """Arrays and tuples as lists, so that they can be compared with lists."""
    if isinstance(value, np.ndarray | np.generic):
        return _listed(value.tolist())
    if isinstance(value, list | tuple):
        return [_listed(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _listed(one) for key, one in value.items()}
    return value
