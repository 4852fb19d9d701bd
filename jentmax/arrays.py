"""The array type of containers that live on a device or on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array

if TYPE_CHECKING:
    AnyArray = Array
else:
    AnyArray = Array | np.ndarray
"""A JAX array, or a numpy array that has not been moved to a device yet.

Type checkers see a JAX array: only that has methods such as ``.at``.
"""
