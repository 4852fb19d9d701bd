"""Whole runs: structures by number, what is recorded of them, and those that go wrong."""

import dataclasses
import itertools
import os
import tomllib
from pathlib import Path

import ase.data
import ase.geometry
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import BATCH, assert_identical, columns, run, tiny

import jentmax
from jentmax import batch as batch_room
from jentmax import chains as chains_room
from jentmax import generation as generation_room
from jentmax.batch import Runner
from jentmax.build import build_potential
from jentmax.chains import Chain, random_start
from jentmax.config import to_toml
from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.harvest import ATTEMPTS, ATTEMPTS_TOO_CLOSE, chain_numbers, harvests
from jentmax.memory import Width
from jentmax.progress import Counter, ignore
from jentmax.sharding import first_devices


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """11 structures: chains 0 to 3 in the first batch, 4 and 5 in the second."""
    return generate(tiny(), tmp_path_factory.mktemp("run") / "set.h5")


@pytest.fixture(scope="module")
def structures(file):
    return columns(file)


# What is in the file


def test_every_structure_is_there_once(file, structures):
    with Dataset(file) as dataset:
        assert dataset.index.tolist() == list(range(11))
        assert dataset.chain.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
        assert dataset.cycle.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
        assert not dataset.attempt.any()
        assert not dataset.structure_status.any()
        assert dataset.periodic.all()
        assert dataset.pointer.tolist() == list(range(0, 133, 12))
    different = {structure["positions"].tobytes() for structure in structures}
    assert len(different) == 11


def test_header(file):
    with Dataset(file) as dataset:
        assert (dataset.kind, dataset.status, dataset.quarantined) == ("generated", "complete", 0)
        assert dataset.seed == 0
        assert dataset.settings == to_toml(tiny())
        assert dataset.versions["jax"] == jax.__version__
        assert dataset.versions.keys() >= {"jentmax", "jaxlib", "numpy", "python"}
        assert "CPU" in dataset.device or "GPU" in dataset.device
        assert dataset.scale.tolist() == [2, 0.3, 0.5, 1, 0.6]
        assert dataset.shift.tolist() == [0] * 5


def test_the_stored_settings_make_the_same_set(file, structures, tmp_path):
    stored = tmp_path / "stored.toml"
    with Dataset(file) as dataset:
        stored.write_text(dataset.settings)
    for one, other in zip(
        structures, columns(generate(jentmax.load(stored), "again.h5")), strict=True
    ):
        assert_identical(one, other)


def test_draws_are_recorded(structures):
    """Density, aspect ratio and K are the chain's own, in the ranges."""
    for structure in structures:
        start = random_start(tiny(), structure["chain"])
        assert np.array_equal(structure["cell"], start.cell)
        assert structure["entropy_weight"] == start.entropy_weight
        a, b, c = start.cell.diagonal()
        assert 0.028 <= 12 / (a * b * c) <= 0.03
        assert 1.0 <= c / a <= 1.05
        assert 100 <= start.entropy_weight <= 200
    weights = [structure["entropy_weight"] for structure in structures]
    assert len(set(weights)) == 6


def test_positions_lie_in_the_cell(structures):
    for structure in structures:
        fractional = structure["positions"] @ np.linalg.inv(structure["cell"])
        # Rounding of the way back.
        assert np.all((fractional > -1e-12) & (fractional < 1 + 1e-12))


@eqx.filter_jit
def terms_of(potential, *arguments):
    return potential.terms(*arguments)


def check_values(structures, settings, tolerance):
    """V and its parts are those of the stored positions, the least distance is ASE's."""
    for structure in structures:
        potential = build_potential(settings, settings.scaling.scale, len(structure["positions"]))
        kinds = sorted(settings.system.species, key=ase.data.atomic_numbers.get)
        assert kinds == list(settings.system.species)
        _, species = np.unique(structure["numbers"], return_inverse=True)
        terms = terms_of(
            potential,
            jnp.asarray(structure["positions"]),
            jnp.asarray(structure["cell"]),
            jnp.asarray(species),
            structure["entropy_weight"],
        )
        for name, expected in {
            "energy_effective": terms.energy,
            "repulsion": terms.repulsion,
            "entropy": terms.entropy,
            "least_distance": terms.least_distance,
        }.items():
            assert np.isclose(structure[name], expected, rtol=tolerance, atol=tolerance), name
        balance = structure["repulsion"] - structure["entropy_weight"] * structure["entropy"]
        assert np.isclose(structure["energy_effective"], balance, rtol=tolerance)
        # Stored in float32.
        assert np.allclose(structure["descriptors"], terms.features, rtol=max(tolerance, 1e-6))
        _, distances = ase.geometry.get_distances(
            structure["positions"], cell=structure["cell"], pbc=True
        )
        distances = distances + 99 * np.eye(len(distances))
        assert np.isclose(structure["least_distance"], distances.min(), rtol=tolerance)


def test_values_are_those_of_the_stored_positions(structures):
    # float32: 1e-7 of coordinates of some Å, against distances in descriptor space of some 0.1.
    check_values(structures, tiny(), 2e-4)


def test_float64():
    settings = tiny("run.precision=float64", "run.structures=4")
    structures = columns(generate(settings, "set.h5"))
    positions = structures[0]["positions"]
    assert np.any(positions != positions.astype(np.float32))
    # Rounding of 1e-15, against distances in descriptor space of some 0.1.
    check_values(structures, settings, 1e-9)


def test_precision_ends_with_the_run(file):
    """Neither precision leaks into the process that calls."""
    assert jnp.ones(1).dtype == jnp.float64  # after a run in float32
    with Dataset(file) as dataset:
        assert np.array_equal(dataset.entropy, dataset.entropy.astype(np.float32))
    with jax.enable_x64(False):
        [structure] = run("run.precision=float64", "run.structures=1")
        assert structure["entropy"] != float(np.float32(structure["entropy"]))
        assert jnp.ones(1).dtype == jnp.float32


def test_the_atoms_cool_down():
    """The temperature recorded is that of the last tenth: 500 K in the mean of a linear ramp."""
    found = run("sampler.steps=200")
    # 36 degrees of freedom and 20 correlated steps scatter by a fifth; the velocities lag behind
    # by the friction's 10 fs, another 500 K, and the entropy's jumps heat.
    assert 300 < np.mean([structure["temperature"] for structure in found]) < 2000


# Structure i depends on the seed, i and the settings alone


def test_the_same_settings_twice(structures):
    for one, other in zip(structures, run(), strict=True):
        assert_identical(one, other)


@pytest.mark.parametrize("number", [1, 3, 8])
def test_any_number_of_structures(structures, number):
    """Fewer than a batch, no multiple of cycles, a whole batch."""
    fewer = run(f"run.structures={number}")
    assert len(fewer) == number
    for one, other in zip(structures[:number], fewer, strict=True):
        assert_identical(one, other)


def test_another_seed(structures):
    for one, other in zip(structures[:3], run("run.seed=1", "run.structures=3"), strict=True):
        assert not np.any(one["positions"] == other["positions"])


def rows_of(numbers):
    """Both cycles' rows of chains side by side, in float32."""
    settings, counter = tiny("run.structures=1000"), Counter(1000, ignore)
    with jax.enable_x64(False):
        potential = build_potential(settings, settings.scaling.scale)
        runner = Runner(settings, jnp.float32, counter, first_devices(1), Width(len(numbers)))
        chains = (Chain(number, random_start(settings, number)) for number in numbers)
        return list(harvests(settings, runner, potential, chains, len(numbers), counter))


def test_whichever_chains_run_beside(structures):
    beside = rows_of([70, 1, 12, 3])
    for cycle, place in itertools.product((0, 1), (1, 3)):
        rows, expected = beside[cycle], structures[2 * place + cycle]
        assert rows.index[place] == expected["jentmax_index"]
        assert np.array_equal(rows.positions[12 * place :][:12], expected["positions"])
        assert np.array_equal(rows.descriptors[12 * place :][:12], expected["descriptors"])
        for name in ("repulsion", "entropy", "entropy_weight", "least_distance", "temperature"):
            assert getattr(rows, name)[place] == expected[name], name


def test_a_cycle_starts_where_the_last_one_ended(structures, monkeypatch):
    begun = []
    begin = batch_room.begin

    def spied(devices, sampler, key, system, weights):
        if isinstance(sampler, jentmax.Langevin):
            begun.append(np.asarray(system.positions))
        return begin(devices, sampler, key, system, weights)

    monkeypatch.setattr(batch_room, "begin", spied)
    rows_of(list(range(BATCH)))
    first, second = begun
    for place in range(BATCH):
        start = random_start(tiny(), place)
        assert np.array_equal(first[..., place], start.positions.astype(np.float32))
        ended = structures[2 * place]["positions"]
        assert np.array_equal(second[..., place], ended.astype(np.float32))


def test_one_trace_per_shape(structures, monkeypatch):
    """Batches, cycles, seeds, numbers of steps, draws: nothing of it compiles anew."""

    def traced(*_):
        raise AssertionError("compiled anew")

    monkeypatch.setattr(jentmax.Potential, "terms", traced)
    run("run.seed=5", "sampler.steps=31", "quench.steps=4", "potential.entropy_weight=3")


# Batches


@pytest.mark.parametrize("structures", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("n_atoms", ["12", "[8, 12]", "[8, 12, 10]"])
def test_every_chain_once(structures, n_atoms):
    settings = tiny(f"run.structures={structures}", f"system.n_atoms={n_atoms}")
    sizes = settings.system.atom_counts()
    numbers = chain_numbers(settings)
    for n_atoms, chains in numbers.items():
        assert chains
        assert all(sizes[chain % len(sizes)] == n_atoms for chain in chains)
    assert sorted(itertools.chain(*numbers.values())) == list(range(-(-structures // 2)))


def batches_of(monkeypatch, *overrides):
    """Chain, cycle and attempt of all chains of each batch of a run."""
    cycle, seen = Runner.cycle, []

    def spied(self, potential, chains, *more):
        seen.append([(chain.number, chain.cycle, chain.attempt) for chain in chains])
        return cycle(self, potential, chains, *more)

    monkeypatch.setattr(Runner, "cycle", spied)
    run(*overrides)
    return seen


def test_batches_are_full_while_there_are_chains(monkeypatch):
    """One that fails goes on in the next batch, and nothing waits for it."""
    broken_starts(monkeypatch, lambda chain, attempt: chain == 1 and attempt == 0)
    assert batches_of(monkeypatch) == [
        [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)],
        [(0, 1, 0), (1, 0, 1), (2, 1, 0), (3, 1, 0)],
        [(1, 1, 1), (4, 0, 0), (5, 0, 0)],
        [(4, 1, 0)],
    ]


def test_several_numbers_of_atoms():
    """Chains take them in turn; a batch has one number."""
    both = run("system.n_atoms=[8, 12]", "run.structures=9", "quench.steps=0")
    assert [structure["jentmax_index"] for structure in both] == list(range(9))
    assert [structure["chain"] for structure in both] == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert [len(structure["positions"]) for structure in both] == [8, 8, 12, 12, 8, 8, 12, 12, 8]
    for structure in both:
        volume = np.linalg.det(structure["cell"])
        assert 0.028 <= len(structure["positions"]) / volume <= 0.03


def test_two_species():
    settings = tiny(
        'system.species=["Be", "W"]',
        "system.fractions=[0.25, 0.75]",
        "descriptor.weights={Be=0.7}",
        "repulsion.r0={Be=2.2, W=2.7}",
        "run.structures=6",
        "run.precision=float64",
        "quench.steps=0",
    )
    structures = columns(generate(settings, "set.h5"))
    orders = set()
    for structure in structures:
        numbers, counts = np.unique(structure["numbers"], return_counts=True)
        assert numbers.tolist() == [4, 74]
        assert counts.tolist() == [3, 9]
        orders.add((structure["chain"], tuple(structure["numbers"])))
    assert len(orders) == len({numbers for _, numbers in orders}) == 3
    check_values(structures, settings, 1e-9)


# Another element


def test_another_element_is_the_same_in_reduced_units():
    """Lengths scaled, mass scaled, times scaled: the same V and S to rounding."""
    Path("tiny.toml").write_text(to_toml(tiny("run.structures=4", "run.precision=float64")))
    tungsten, iron = (
        columns(generate(jentmax.load("tiny.toml", element=element), "set.h5", overwrite=True))
        for element in ("W", "Fe")
    )
    length = 2.87 / 3.16  # lattice constants of the bcc metals
    for old, new in zip(tungsten, iron, strict=True):
        assert set(old["numbers"]) == {74}
        assert set(new["numbers"]) == {26}
        # Rounding of 1e-15, grown in 25 steps of one cycle and of the next: measured 1e-8.
        assert np.allclose(new["cell"], length * old["cell"], rtol=1e-9)
        assert np.allclose(new["positions"], length * old["positions"], rtol=0, atol=1e-6)
        for name in ("energy_effective", "repulsion", "entropy", "temperature"):
            assert new[name] == pytest.approx(old[name], rel=1e-6), name
        assert new["least_distance"] == pytest.approx(length * old["least_distance"], rel=1e-6)


# Numbers that are not finite


def broken_starts(monkeypatch, fails):
    """NaN in an atom of every start for which ``fails(chain, attempt)``."""

    def start(settings, chain, attempt=0):
        found = random_start(settings, chain, attempt)
        if not fails(chain, attempt):
            return found
        positions = found.positions.copy()
        positions[5, 2] = np.nan
        return dataclasses.replace(found, positions=positions)

    monkeypatch.setattr(chains_room, "random_start", start)


def test_a_chain_that_fails_at_its_start(file, structures, monkeypatch):
    """It begins again; all others are the same bit for bit."""
    broken_starts(monkeypatch, lambda chain, attempt: chain == 2 and attempt == 0)
    reports = []
    found = run(report=lambda progress: reports.append(progress.quarantined))
    assert len(found) == 11
    for one, other in zip(found, structures, strict=True):
        if one["chain"] != 2:
            assert_identical(one, other)
    again = [structure for structure in found if structure["chain"] == 2]
    assert [structure["attempt"] for structure in again] == [1, 1]
    assert [structure["status"] for structure in again] == [1, 0]
    for one, other in zip(again, structures[4:6], strict=True):
        assert np.array_equal(one["cell"], other["cell"])
        assert one["entropy_weight"] == other["entropy_weight"]
        assert np.all(np.isfinite(one["positions"]))
        assert not np.any(one["positions"] == other["positions"])
    with Dataset("set.h5") as dataset:
        assert (dataset.quarantined, dataset.status) == (1, "complete")
    assert sorted(set(reports)) == [0, 1]


def test_a_chain_that_fails_in_a_later_cycle(structures, monkeypatch):
    """What it gave before stays."""
    cycle = Runner.cycle

    def spied(self, potential, chains):
        def broken(chain):
            if (chain.number, chain.cycle, chain.attempt) != (2, 1, 0):
                return chain
            start = dataclasses.replace(chain.start, positions=np.full((12, 3), np.inf))
            return dataclasses.replace(chain, start=start)

        return cycle(self, potential, [broken(chain) for chain in chains])

    monkeypatch.setattr(Runner, "cycle", spied)
    found = run()
    for one, other in zip(found, structures, strict=True):
        if one["jentmax_index"] != 5:
            assert_identical(one, other)
    assert (found[5]["chain"], found[5]["cycle"]) == (2, 1)
    assert (found[5]["attempt"], found[5]["status"]) == (1, 1)
    assert np.all(np.isfinite(found[5]["positions"]))
    assert not np.any(found[5]["positions"] == structures[5]["positions"])
    with Dataset("set.h5") as dataset:
        assert dataset.quarantined == 1


def test_several_chains_fail_several_times(structures, monkeypatch):
    broken_starts(monkeypatch, lambda chain, attempt: attempt < {0: 1, 3: 3, 4: 2}.get(chain, 0))
    found = run()
    for one, other in zip(found, structures, strict=True):
        expected = {0: 1, 3: 3, 4: 2}.get(one["chain"], 0)
        assert one["attempt"] == expected
        assert one["status"] == (expected > 0 and one["cycle"] == 0)
        if not expected:
            assert_identical(one, other)
    with Dataset("set.h5") as dataset:
        assert dataset.quarantined == 1 + 3 + 2


def test_a_chain_that_always_fails(structures, monkeypatch):
    """What was harvested before it stays readable."""
    broken_starts(monkeypatch, lambda chain, attempt: chain == 5)
    with pytest.raises(
        JentmaxError, match=rf"structure 10: not finite in {ATTEMPTS} attempts.*sampler\.timestep"
    ):
        run()
    for one, other in zip(columns("set.h5"), structures[:10], strict=True):
        assert_identical(one, other)
    with Dataset("set.h5") as dataset:
        # Counted are the attempts that led to the structures that are there.
        assert (dataset.quarantined, dataset.status) == (0, "running")


# Atoms that come too close


def test_structures_with_atoms_too_close_are_made_anew(structures):
    """Those that keep the distance are the same bit for bit."""
    distances = [structure["least_distance"] for structure in structures]
    asked = np.sort(distances)[2] + 1e-6
    reports = []
    found = run(
        f"potential.min_distance={asked}",
        report=lambda progress: reports.append(progress.rejected),
    )
    too_close = {one["chain"] for one in structures if one["least_distance"] < asked}
    for one, other in zip(found, structures, strict=True):
        assert one["least_distance"] >= asked
        if one["chain"] not in too_close:
            assert_identical(one, other)
        elif other["least_distance"] < asked:
            assert one["attempt"] >= 1
            # After a first cycle that is made anew the second one begins elsewhere.
            assert one["status"] == 1 or one["cycle"] == 1
            assert one["entropy_weight"] == other["entropy_weight"]
    with Dataset("set.h5") as dataset:
        assert dataset.rejected == reports[-1] >= 3
        assert dataset.quarantined == 0


def test_a_distance_that_no_structure_keeps():
    with pytest.raises(
        JentmaxError,
        match=rf"structure 0: atoms closer than potential\.min_distance = 2\.9 Å in {ATTEMPTS} "
        r'attempts.*lower it or potential\.entropy_weight, or .*"auto"',
    ):
        run("potential.min_distance=2.9")
    assert os.listdir() == []


def test_bad_luck_ends_no_run(monkeypatch):
    """Once some structures were harvested, others may come too close many times."""
    harvested = batch_room._harvested
    batches = []

    def spied(*arguments):
        harvest = harvested(*arguments)
        batches.append(1)
        distances = np.full(len(harvest.finite), 3.0)
        if len(batches) <= ATTEMPTS_TOO_CLOSE - 1:
            distances[0] = 1.0
        harvest.columns["least_distance"] = distances
        return harvest

    monkeypatch.setattr(batch_room, "_harvested", spied)
    found = run("potential.min_distance=2", "run.structures=8", "run.cycles_per_chain=1")
    assert [structure["attempt"] for structure in found] == [ATTEMPTS_TOO_CLOSE - 1] + [0] * 7


def test_a_first_batch_that_fails_leaves_no_file(monkeypatch):
    broken_starts(monkeypatch, lambda chain, attempt: True)
    with pytest.raises(JentmaxError, match="structure 0: not finite"):
        generate(tiny(), "set.h5")
    assert os.listdir() == []
    with open("set.h5", "w") as file:
        file.write("an older file")
    with pytest.raises(JentmaxError, match="structure 0: not finite"):
        generate(tiny(), "set.h5", overwrite=True)
    with open("set.h5") as file:
        assert file.read() == "an older file"
    assert os.listdir() == ["set.h5"]


@pytest.mark.parametrize("what", ["features", "energy", "temperature"])
def test_whatever_is_not_finite_is_seen(structures, monkeypatch, what):
    harvested = batch_room._harvested
    calls = []

    def spied(state, terms, temperature, n_replicas):
        calls.append(1)
        if len(calls) == 1:
            broken = np.where(np.arange(BATCH) == 2, np.nan, 0)
            if what == "temperature":
                temperature = temperature + broken
            else:
                terms = dataclasses.replace(terms, **{what: getattr(terms, what) + broken})
        return harvested(state, terms, temperature, n_replicas)

    monkeypatch.setattr(batch_room, "_harvested", spied)
    found = run("run.structures=8")
    assert [structure["attempt"] for structure in found] == [0, 0, 0, 0, 1, 1, 0, 0]


# A device whose memory is full


def little_memory(monkeypatch, most, first_call=0):
    """So many structures fit from some call on."""
    advance = batch_room.advance
    calls = []

    def spied(devices, sampler, keys, state, first, last, n_steps):
        calls.append(last)
        if last and len(calls) > first_call and len(state.entropy_weight) > most:
            raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return advance(devices, sampler, keys, state, first, last, n_steps)

    monkeypatch.setattr(batch_room, "advance", spied)


@pytest.mark.parametrize("first_call", [0, 16])
def test_out_of_memory(structures, monkeypatch, first_call):
    """In the first cycle or the second: half of them at a time, and nothing is lost."""
    little_memory(monkeypatch, 2, first_call)
    notes = []

    def report(progress):
        if "memory" in progress.note:
            notes.append((progress.note, len(progress.entropy)))

    found = run(report=report)
    expected = 4 if first_call else 0
    assert notes == [("out of memory: on with 2 side by side on each device", expected)]
    assert [structure["jentmax_index"] for structure in found] == list(range(11))
    for one, other in zip(found, structures, strict=True):
        for name in ("chain", "cycle", "attempt", "entropy_weight"):
            assert one[name] == other[name]
    # What is made again from the file's settings: the batch size of its beginning.
    with Dataset("set.h5") as dataset:
        stored = tomllib.loads(dataset.settings)["run"]["batch_size"]
        assert stored == (4 if first_call else 2)


def test_a_structure_larger_than_the_memory(monkeypatch):
    little_memory(monkeypatch, 0)
    with pytest.raises(JentmaxError, match=r"system\.n_atoms = 12: one structure alone takes more"):
        run()
    assert os.listdir() == []


def test_other_errors_of_the_device_are_not_taken_for_it(monkeypatch):
    def broken(*_):
        raise JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(batch_room, "advance", broken)
    with pytest.raises(JaxRuntimeError, match="something else"):
        run()


# Output and reports


def test_an_existing_output_is_refused_before_anything_is_computed(monkeypatch):
    def computed(*_):
        raise AssertionError("something was computed")

    monkeypatch.setattr(generation_room, "feature_scaling", computed)
    for name in ("set.h5", "no/such/folder.h5"):
        with open("set.h5", "w") as file:
            file.write("an older file")
        with pytest.raises(JentmaxError, match=name):
            generate(tiny(), name)
        with open("set.h5") as file:
            assert file.read() == "an older file"


def test_the_output_is_the_settings_own_by_default():
    assert str(generate(tiny("run.structures=1", "run.output=own.h5"))) == "own.h5"
    assert os.listdir() == ["own.h5"]


def test_structures_that_are_reported_are_on_disk(structures):
    lengths = []

    def report(progress):
        if os.path.exists("set.h5"):
            with Dataset("set.h5") as dataset:
                assert dataset.status == "running"
                lengths.append(len(dataset))
        else:
            lengths.append(0)
        assert len(progress.entropy) == lengths[-1]

    run(report=report)
    assert sorted(set(lengths)) == [0, 4, 8, 10, 11]
    assert lengths == sorted(lengths)


def test_reports(structures):
    seen = []
    run(report=lambda progress: seen.append((progress.phase, progress.done, len(progress.entropy))))
    phases = [phase for phase, *_ in seen]
    assert phases[:2] == ["starting", "compiling"]
    assert set(phases[2:]) == {"annealing", "quenching", "writing"}
    done = [done for _, done, _ in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 11
    assert [count for phase, _, count in seen if phase == "writing"] == [4, 8, 10, 11]
