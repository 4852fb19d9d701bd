"""One program: a replica's bits depend on no number of devices and on none of JAX's switches."""

import hashlib
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from sampling import TOY, keys_of, toys

from jentmax.devices import _workers
from jentmax.samplers import BasinHopping, Descent, Langevin, run
from jentmax.system import System

pytestmark = pytest.mark.optimised

HELPER = """
import hashlib, sys
import jax, numpy as np
import jentmax as jm

potential = jm.Potential(jm.Snap(cutoff=4.0, components=3), jm.ClarkeSmith(), jm.NearestNeighbor())
systems = jm.System.random(jax.random.key(1), "W8", density=0.03, replicas=6)

def digest(**given):
    ends, info = jm.run(potential, jm.Langevin(), systems, key=jax.random.key(0), steps=8,
                        entropy_weight=100.0, batch_size=2, **given)
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((ends, info))]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
"""


def in_a_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(autouse=True)
def three_cores(monkeypatch):
    """However many there are."""
    monkeypatch.setattr(_workers, "n_cores", lambda: 3)


def digest(**given):
    ends, info = run(
        TOY, given.pop("sampler", Langevin()), toys(7), steps=12, entropy_weight=10.0,
        **{"key": jax.random.key(0), "batch_size": 2} | given,
    )  # fmt: skip
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((ends, info))]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("sampler", [Langevin(), Descent(noise=0.1), BasinHopping()])
def test_the_number_of_devices_changes_no_bit(sampler):
    expected = digest(devices=1, sampler=sampler)
    assert digest(devices=2, sampler=sampler) == expected
    assert digest(devices=3, sampler=sampler) == expected
    assert digest(sampler=sampler) == expected


def test_other_keys_give_other_bits():
    assert digest() != digest(key=jax.random.key(1))


SWITCHES = {
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_default_matmul_precision": "bfloat16",
}


@pytest.fixture
def switched(request):
    """JAX with another value of a switch, for one test."""
    name, value = request.param
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    yield name
    jax.config.update(name, before)


@pytest.fixture(scope="module")
def plain():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_workers, "n_cores", lambda: 3)
        return digest()


@pytest.mark.parametrize("switched", SWITCHES.items(), ids=SWITCHES, indirect=True)
def test_jax_switches_change_no_bit(plain, switched):
    """A key of another generator has the same words, so that it draws the same numbers."""
    assert digest(devices=2) == plain


@pytest.mark.parametrize("switched", SWITCHES.items(), ids=SWITCHES, indirect=True)
def test_random_systems_depend_on_no_switch(switched):
    found = System.random(jax.random.key(3), "W5", density=0.02)
    expected = System.random(jax.random.key(3, impl="threefry2x32"), "W5", density=0.02)
    np.testing.assert_array_equal(found.positions, expected.positions)


@pytest.mark.slow
def test_processes_with_all_switches_and_devices():
    """Nor XLA's number of devices; nor x64, as the type is that of the positions."""
    plain, x64 = in_a_process(
        HELPER
        + """
print(digest(devices=1))
jax.config.update("jax_enable_x64", True)
print(digest(devices=1))
"""
    )
    assert x64 == plain
    switches = "".join(f"jax.config.update({k!r}, {v!r})\n" for k, v in SWITCHES.items())
    code = (
        "import jax\n"
        + switches
        + HELPER
        + """
import jentmax.devices._workers as workers
workers.n_cores = lambda: 3
assert len(jax.devices()) == 3
print(digest(), digest(devices=2))
"""
    )
    found = in_a_process(code, XLA_FLAGS="--xla_force_host_platform_device_count=3")
    assert found == [plain, plain]


def test_keys_are_one_for_each_replica_or_one_for_all():
    """One key for all is each replica's number folded into it."""
    key = jax.random.key(0)
    each = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(7))
    assert digest(key=each) == digest(key=key)
    assert digest(key=keys_of(1, 7)) != digest(key=key)
