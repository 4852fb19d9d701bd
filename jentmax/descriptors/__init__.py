"""Descriptors: environments -> features ``(n_atoms, n_features)``."""

from jentmax.descriptors._snap import Snap as Snap
