"""A sampler of a user's that breaks the contract is refused in the contract's words."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import jentmax as jm
from jentmax.errors import JentmaxError

POTENTIAL = jm.Potential(
    jm.Snap(3.6, twojmax=2, components=5), jm.ClarkeSmith(), jm.NearestNeighbor()
)


class Still:
    """Leaves atoms where they are."""

    def init(self, potential, key, systems, entropy_weight):
        weight = jnp.broadcast_to(entropy_weight, systems.replicas)
        return jm.State(systems, weight, potential.neighbors(systems.positions, systems.cell))

    def step(self, potential, key, state, progress):
        system = state.system
        terms = potential.terms(
            system.positions, system.cell, system.numbers, state.entropy_weight, state.neighbors
        )
        told = terms.energy, terms.repulsion, terms.entropy, terms.least_distance
        return state, jm.Info(*told, jnp.zeros_like(told[0]), state.neighbors.overflowed)


def changed(**methods):
    """The class with other methods, which get what it gives."""

    def wrapped(name, change):
        return lambda self, *given: change(getattr(Still, name)(self, *given))

    own = {name: wrapped(name, change) for name, change in methods.items()}
    return type("Mine", (Still,), own)()


def run(sampler):
    systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=2)
    return jm.run(POTENTIAL, sampler, systems, key=jax.random.key(1), steps=2, entropy_weight=1.0)


def divided(given):
    return 1 // 0


BROKEN = {
    "no state": ({"init": lambda state: None}, "the state of init has no system; init(potential"),
    "a system": ({"init": lambda state: state.system}, "the state of init has no system"),
    "no info": ({"step": lambda given: given[0]}, "step gives a State, not two things; step("),
    "a dictionary": ({"step": lambda given: (given[0], {})}, "the info of step has no energy"),
    "other shape": (
        {"step": lambda given: (
            eqx.tree_at(lambda state: state.entropy_weight, given[0], jnp.zeros(3)), given[1]
        )},
        "state.entropy_weight is float64[2] before step and float64[3] after",
    ),
    "own error": ({"step": divided}, "step: ZeroDivisionError: integer"),
    "a decision": (
        {"step": lambda given: given if given[1].energy[0] > 0 else None},
        "step: TracerBoolConversionError: Attempted boolean conversion",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("methods", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_contract(methods, message):
    with pytest.raises(JentmaxError) as raised:
        run(changed(**methods))
    assert str(raised.value).startswith(f"sampler = Mine: {message}")


def test_a_sampler_that_keeps_it():
    _, info = run(Still())
    assert jnp.isfinite(info.energy).all()
