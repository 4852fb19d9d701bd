"""Array types that several rooms use in their annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Key, UInt32

if TYPE_CHECKING:
    AnyArray = Array
else:
    AnyArray = Array | np.ndarray
"""A JAX array, or a numpy array that has not been moved to a device yet.

Type checkers see a JAX array: only that has methods such as ``.at``.
"""

AnyKey = Key[Array, "*#replicas"] | UInt32[Array, "..."]
"""One random key, or one per replica; raw keys of type uint32 have a last axis of length 2."""
