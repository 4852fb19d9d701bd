"""Numbers gone bad in the midst of a run: one chain's trouble is no other's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import assert_identical, columns, tiny

from jentmax import batch as batch_room
from jentmax.batch import Runner
from jentmax.build import build_potential
from jentmax.chains import first_chain
from jentmax.generation import generate
from jentmax.harvest import harvests
from jentmax.memory import Width
from jentmax.neighbors import _choose as choosing
from jentmax.progress import Counter, ignore
from jentmax.sharding import first_devices

SETTINGS = ("run.structures=120", "run.batch_size=20", "quench.steps=0")

# What goes wrong in the midst of a cycle: by number of the chain, cycle and attempt.
FAULTS = {
    (7, 0, 0): np.nan,
    (7, 0, 1): np.nan,  # and once more
    (31, 1, 0): np.inf,
    (44, 0, 0): 1e30,  # where no distance means anything, though all may be finite
    (59, 1, 0): 1e4,  # nor does it there, in float32
}
FAILED = {14: 2, 63: 1, 88: 1, 119: 1}
"""Attempts at structures that are not finite."""
BEFORE = 62, 118  # structures of these chains that came before the fault


@pytest.fixture
def _lists(monkeypatch):
    """Of neighbours, whose room a fault could overflow."""
    monkeypatch.setattr(choosing, "ALL_PAIRS_ELSEWHERE", 0)
    monkeypatch.setattr(choosing, "ALL_PAIRS_WHERE_A_GRID_FITS", 0)


def inject(monkeypatch, faults):
    """Put numbers into the positions of chains, in the sixth tenth of a cycle."""
    cycle, advance, under_way = Runner._cycle, batch_room.advance, []

    def told(self, potential, chains, *more):
        under_way[:] = [(chain.number, chain.cycle, chain.attempt) for chain in chains]
        return cycle(self, potential, chains, *more)

    def broken(devices, sampler, keys, state, first, last, n_steps):
        for place, name in enumerate(under_way):
            if first == n_steps // 2 and name in faults:
                state = eqx.tree_at(
                    lambda state: state.system.positions,
                    state,
                    state.system.positions.at[3, 1, place].set(faults[name]),
                )
        return advance(devices, sampler, keys, state, first, last, n_steps)

    monkeypatch.setattr(Runner, "_cycle", told)
    monkeypatch.setattr(batch_room, "advance", broken)


def alone(number, structures):
    """What a chain gives by itself, and how often a cycle of it was discarded."""
    settings, counter = tiny(*SETTINGS), Counter(structures, ignore)
    with jax.enable_x64(False):
        potential = build_potential(settings, settings.scaling.scale)
        runner = Runner(settings, jnp.float32, counter, first_devices(1), Width(20))
        chains = iter([first_chain(settings, number)])
        rows = list(harvests(settings, runner, potential, chains, 20, counter))
    return rows, counter.quarantined


@pytest.mark.usefixtures("_lists")
def test_faults_in_a_few_of_a_hundred(monkeypatch):
    """All others are the same bit for bit; each anew is as if it alone had failed."""
    clean = columns(generate(tiny(*SETTINGS), "clean.h5"))
    notes = []
    with monkeypatch.context() as patched:
        inject(patched, FAULTS)
        found = columns(
            generate(tiny(*SETTINGS), "set.h5", report=lambda told: notes.append(told.note))
        )
    affected = {number for number, *_ in FAULTS}
    assert len(found) == len(clean) == 120
    for one, other in zip(found, clean, strict=True):
        if one["chain"] not in affected or one["jentmax_index"] in BEFORE:
            assert_identical(one, other)
        else:
            assert np.all(np.isfinite(one["positions"]))
            assert not np.any(one["positions"] == other["positions"])
    for number in affected:
        with monkeypatch.context() as patched:
            inject(patched, {name: bad for name, bad in FAULTS.items() if name[0] == number})
            rows, quarantined = alone(number, 120)
        assert quarantined == sum(FAILED.get(2 * number + cycle, 0) for cycle in (0, 1))
        for cycle, row in enumerate(rows):
            one = found[2 * number + cycle]
            assert np.array_equal(row.positions, one["positions"])
            assert np.array_equal(row.descriptors, one["descriptors"])
            assert row.attempt == [one["attempt"]]
            assert row.status == [one["status"]] == [row.index[0] in FAILED]
    # Each is told once, with all that is needed to make it again.
    told = [line for note in notes for line in note.splitlines() if "quarantined" in line]
    assert sorted(told) == sorted(
        f"quarantined structure {2 * number + cycle}: not finite, or atoms lost; seed 0, "
        f"chain {number}, cycle {cycle}, attempt {attempt}"
        for number, cycle, attempt in FAULTS
    )
