"""Annotated fields: checks, messages, coercion, and components as plain data."""

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from typing_extensions import Doc

import jentmax.descriptors
import jentmax.entropy
import jentmax.repulsion
import jentmax.samplers
from jentmax.component import Component
from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.fields import (
    KINDS,
    REQUIRED,
    Allowed,
    AsArray,
    Elements,
    Frozen,
    NotNegativeRange,
    PerElement,
    PositiveRange,
    check,
    coerced,
    fields_of,
    kind_of,
    shown,
    to_plain,
)
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import Descent, Langevin, schedules

ALLOWED = {
    float: ([1, 1.5, np.float32(2), np.int64(3), jnp.asarray(1.0)], ["1", True, None, math.nan]),
    int: ([1, np.int64(3)], [1.0, True, "1", np.bool_(True)]),
    bool: ([True, np.bool_(False)], [1, 0, "true"]),
    str: (["a"], [1, None]),
    int | None: ([1, None], [1.5, "none"]),
    Literal["a", 1]: (["a", 1], ["b", True, 2]),
    tuple[int, ...]: ([[1, 2], (1,), (), np.array([1, 2])], [1, [1.5], "12"]),
    tuple[float, float]: ([[1, 2.5]], [[1], [1, 2, 3]]),
    Mapping[str, float]: ([{"a": 1}, {}], [{"a": "b"}, {1: 1.0}, [1]]),
    Callable[[float], float]: ([math.sin, lambda x: x], [1, "sin"]),
    Annotated[float, Gt(0), Le(2)]: ([0.1, 2], [0, 2.1, -1, math.inf]),
    Annotated[float, Ge(0), Lt(2)]: ([0, 1.9], [2, -0.1]),
    Annotated[tuple[int, ...], MinLen(1)]: ([[1]], [[]]),
    PositiveRange: ([1, [1, 2], (1, 1)], [0, [0, 1], [2, 1], [1, 2, 3]]),
    NotNegativeRange: ([0, [0, 1]], [-1, [1, 0]]),
    Elements: ([["Ni", "Al"], []], [["Ni", "Ni"], ["Xx"], "Ni", ["X"]]),
    PerElement: ([{"W": -1}], [{"Xx": 1}, {"W": "1"}]),
    Annotated[float, Allowed("an odd number", lambda value: value % 2 == 1)]: ([1, 3.0], [2]),
    Annotated[Any, AsArray(), Gt(0)]: ([1, 2.5, np.ones(2)], [0, "1", None, True, np.zeros(2)]),
    Any: ([1, "a", None], []),
}


@pytest.mark.parametrize("annotation", ALLOWED, ids=map(str, range(len(ALLOWED))))
def test_values(annotation):
    good, bad = ALLOWED[annotation]
    for value in good:
        coerced(value, annotation)
    for value in bad:
        with pytest.raises(ValueError):  # noqa: PT011  its message is made elsewhere
            coerced(value, annotation)


def test_types_after_coercion():
    assert type(coerced(np.float32(2), float)) is float
    assert type(coerced(1, float)) is float
    assert type(coerced(np.int64(3), int)) is int
    assert coerced([1, 2], tuple[int, ...]) == (1, 2)
    table = coerced({"a": 1}, Mapping[str, float])
    assert isinstance(table, Frozen)
    assert hash(table) == hash(Frozen({"a": 1.0}))
    assert table == {"a": 1.0}
    assert coerced(1, Annotated[Any, AsArray()]).dtype == np.float64


def component(
    given,
    cutoff: Annotated[float, Gt(0), Doc("Å, reach")],
    order: Annotated[int, Ge(1), Doc("order")] = 2,
    kind: Literal["hard", "soft"] = "hard",
    more: Any = None,
):
    """What a user would write."""


def test_fields_of_a_function():
    """The first parameter is what it computes from."""
    fields = fields_of(component)
    assert list(fields) == ["cutoff", "order", "kind", "more"]
    assert fields["cutoff"].default is REQUIRED
    assert (fields["order"].default, fields["order"].meaning) == (2, "order")
    assert fields["cutoff"].allowed == "a number above 0"
    assert fields["kind"].allowed == '"hard" or "soft"'


def test_all_problems_are_told_at_once():
    with pytest.raises(JentmaxError) as raised:
        check("descriptor", component, {"cutof": 1, "order": 0, "kind": "x"})
    assert str(raised.value).splitlines() == [
        "descriptor.cutof = 1 is unknown; did you mean cutoff? descriptor takes cutoff, order, "
        "kind, more",
        "descriptor.order = 0 is not allowed; give a whole number of at least 1 (order)",
        'descriptor.kind = "x" is not allowed; give "hard" or "soft"',
        "descriptor.cutoff is missing; give a number above 0 (Å, reach)",
    ]
    assert check("descriptor", component, {"cutoff": 1}) == {"cutoff": 1.0}


def components():
    rooms = (jentmax.descriptors, jentmax.entropy, jentmax.repulsion, jentmax.samplers)
    return [
        value
        for room in rooms
        for value in vars(room).values()
        if isinstance(value, type)
        and issubclass(value, Component)
        and value is not Component
        and not inspect.isabstract(value)
    ]


@pytest.mark.parametrize("make", components())
def test_every_component_says_what_its_fields_mean(make):
    fields = fields_of(make)
    assert fields
    for name, field in fields.items():
        assert field.meaning, f"{make.__name__}.{name} has no meaning"
        assert field.allowed, f"{make.__name__}.{name}"
    assert KINDS[kind_of(make)].endswith(f":{make.__name__}")


@pytest.mark.parametrize("make", components())
def test_every_field_refuses_what_it_cannot_be(make):
    """A value of a type that no field takes, in the words of the field."""
    required = {"cutoff": 4.0} if make is Snap else {}
    for name, field in fields_of(make).items():
        with pytest.raises(JentmaxError) as raised:
            make(**required | {name: {1: object()}})
        assert str(raised.value).startswith(f"{make.__name__}.{name} = ")
        assert f"is not allowed; give {field.allowed} ({field.meaning})" in str(raised.value)
    with pytest.raises(JentmaxError, match=rf"{make.__name__}\.nothing = 1 is unknown; "):
        make(**required, nothing=1)


@pytest.mark.parametrize("make", components())
def test_components_survive_plain_data(make):
    """Made, written as JSON, read and made again: the same plain data."""
    made = make(**({"cutoff": 4.0, "weights": {"W": 0.9}} if make is Snap else {}))
    plain = to_plain(made)
    again = json.loads(json.dumps(plain))
    assert again.pop("kind") == kind_of(make)
    names = {plain_name: value for plain_name, value in again.items() if value is not None}
    schedule = {kind: kind.replace("-", "_") for kind in KINDS if "schedules" in KINDS[kind]}
    for name, value in names.items():
        if name.endswith("schedule"):
            names[name] = getattr(schedules, schedule[value])
    assert to_plain(make(**names)) == plain


def test_plain_data():
    assert to_plain(ClarkeSmith(r0={"W": 2.7}))["r0"] == {"W": 2.7}
    assert to_plain(Langevin(timestep=np.float32(0.5)))["timestep"] == 0.5
    assert to_plain(Langevin(force_cap=math.inf))["force_cap"] == "inf"
    assert to_plain(Descent())["step_schedule"] == "cosine-down"
    assert to_plain(functools.partial(component, order=3)) == {
        "kind": f"{__name__}:component",
        "order": 3,
    }
    assert to_plain(math.sin) == "math:sin"
    assert to_plain((1, [np.float64(2.5), jnp.arange(2)])) == [1, [2.5, [0, 1]]]

    @dataclasses.dataclass
    class Own:
        floor: float = 1.0
        table: tuple[int, ...] = (1, 2)

    assert to_plain(Own()) == {"kind": kind_of(Own), "floor": 1.0, "table": [1, 2]}


def test_values_in_messages_are_short():
    assert shown({"W": 1.5}) == '{"W": 1.5}'
    assert shown("ä\n\tb") == '"ä\\n\\tb"'
    assert len(shown("x" * 1000)) == 80
    assert shown(10**5000) == "a number with thousands of digits"
