"""The type checker that the tests put on every function of the package."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""Annotations hold at run time; an int is also a float, as type checkers have it."""

ROOMS = ("system", "potential", "callables", "repulsion", "neighbors", "descriptors", "entropy")
ROOMS += ("samplers", "dataset")
"""Every annotated function of these checks its arguments and results in tests."""
