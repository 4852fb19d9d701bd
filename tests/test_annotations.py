"""Annotations hold at run time: the import hook in conftest.py finds wrong shapes and types."""

import importlib
import pkgutil
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from annotations import ROOMS
from jaxtyping import TypeCheckError

import jentmax
from jentmax.callables import as_descriptor
from jentmax.entropy import Gaussian, NearestNeighbor
from jentmax.neighbors import AllPairs
from jentmax.samplers.schedules import factor
from jentmax.system import System

POSITIONS, CELL, NUMBERS = jnp.ones((4, 3)), jnp.eye(3), jnp.full(4, 74)


def test_the_hook_checks_all_modules_of_the_rooms():
    for module in pkgutil.walk_packages(jentmax.__path__, "jentmax."):
        if module.name.split(".")[1] in ROOMS:
            spec = importlib.import_module(module.name).__spec__
            assert spec is not None
            assert type(spec.loader).__name__ == "_JaxtypingLoader", module.name


def test_a_missing_axis():
    with pytest.raises(TypeCheckError, match="features"):
        NearestNeighbor()(jnp.ones(5))


def test_replicas_that_are_not_last():
    """Positions with the replicas first have four "atoms" and five "coordinates"."""
    with pytest.raises(TypeCheckError, match="positions"):
        AllPairs(3.0)(jnp.ones((4, 5, 3)), CELL, NUMBERS)


@pytest.mark.parametrize(
    "change", [{"numbers": jnp.ones(5, int)}, {"cell": jnp.eye(2)}, {"masses": jnp.ones(4, int)}]
)
def test_containers_of_arrays_that_do_not_go_together(change):
    arrays = {
        "numbers": NUMBERS,
        "positions": POSITIONS,
        "cell": CELL,
        "pbc": jnp.ones(3, bool),
        "masses": jnp.ones(4),
    }
    assert System(**arrays).n_atoms == 4
    with pytest.raises(TypeCheckError, match=next(iter(change))):
        System(**arrays | change)


def test_a_wrong_shape_under_jit():
    with pytest.raises(TypeCheckError, match="features"):
        jax.jit(Gaussian())(jnp.ones((2, 3, 4), int))


def test_a_result_of_the_wrong_shape():
    """A schedule gives one number; two are found where the package calls it."""
    assert factor(jnp.sqrt, jnp.asarray(0.25)) == 0.5
    with pytest.raises(TypeCheckError, match="return value"):
        factor(lambda progress: jnp.ones(2), jnp.asarray(0.25))


def test_a_wrong_type_without_arrays():
    far: Any = "far"
    with pytest.raises(TypeCheckError, match="cutoff"):
        as_descriptor(len, far)


@pytest.mark.wrong_types
def test_tests_of_errors_can_switch_the_check_off():
    with pytest.raises(AttributeError, match="shape"):
        Gaussian()("features")
