"""Estimators refuse values out of range at the call, in words; numbers are static."""

import pytest

from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.errors import JentmaxError


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (NearestNeighbor, {"floor": 0}, "NearestNeighbor.floor = 0 is not allowed; give a number"),
        (NearestNeighbor, {"flor": 1}, "NearestNeighbor.flor = 1 is unknown; did you mean floor?"),
        (KthNearestNeighbor, {"k": 0}, "KthNearestNeighbor.k = 0 is not allowed"),
        (KthNearestNeighbor, {"k": 1.5}, "k = 1.5 is not allowed; give a whole number"),
        (KthNearestNeighbor, {"floor": -1.0}, "KthNearestNeighbor.floor = -1.0 is not allowed"),
        (SoftNearestNeighbor, {"width": 0.0}, "SoftNearestNeighbor.width = 0.0 is not allowed"),
        (SoftNearestNeighbor, {"floor": None}, "SoftNearestNeighbor.floor = null is not allowed"),
        (KernelDensity, {"bandwidth": "scott"}, 'bandwidth = "scott" is not allowed'),
        (KernelDensity, {"bandwidth": -1}, '"silverman" or "adaptive"'),
        (KernelDensity, {"convention": "kde"}, 'give "density" or "quests"'),
        (KernelDensity, {"floor": 0}, "KernelDensity.floor = 0 is not allowed"),
        (Gaussian, {"ridge": 0}, "Gaussian.ridge = 0 is not allowed"),
        (Vendi, {"order": 0}, "Vendi.order = 0 is not allowed"),
        (Vendi, {"bandwidth": float("inf")}, "Vendi.bandwidth = "),
    ],
)
def test_fields_that_are_not_allowed(make, given, message):
    with pytest.raises(JentmaxError) as raised:
        make(**given)
    assert message in str(raised.value)
    # The message has the unit or meaning too.
    assert "unknown" in message or "(" in str(raised.value)


def test_estimators_are_equal_if_their_fields_are():
    # A program compiled for one serves the other.
    assert KernelDensity(1) == KernelDensity(bandwidth=1.0)
    assert hash(Vendi()) == hash(Vendi(1, 1.0))
    assert Vendi() != Vendi(2)
