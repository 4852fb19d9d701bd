"""What is printed of data sets: finished, under way, described."""

import re
import warnings
from pathlib import Path

import ase
import ase.io
import h5py
import numpy as np
import pytest
from cli_runs import FLAGS

import jentmax
from jentmax.cli._info import print_info
from jentmax.dataset import Dataset, Parts


def test_a_generated_set(good):
    good("generate", *FLAGS, "-o", "set.h5", "--seed", "7", "--structures", "6", "-q")
    output = good("info set.h5")
    with Dataset("set.h5") as dataset:
        values, versions = dataset.entropy, dataset.versions
    assert "\x1b" not in output
    for line in (
        "file         set.h5 (generated, complete)",
        "structures   6 of 12 atoms: W",
        "descriptors  5 of each of 72 atoms",
        "seed         7",
        f"jax {versions['jax']}",
        "settings\n    batch_size = 4\n",
        '    [start]\n    kind = "random"\n',
        '    [sampler]\n    kind = "langevin"\n',
    ):
        assert line in output, line
    assert "discarded" not in output
    numbers = (values.mean(), values.std(), values.min(), values.max())
    row = next(line for line in output.splitlines() if "S (nats)" in line)
    assert re.findall(r"-?\d[\d.]*(?:e-?\d+)?", row) == [f"{number:.4g}" for number in numbers]
    for name in ("V (eV)", "E_rep (eV)", "K (eV)", "least distance (Å)", "density (atoms/Å^3)"):
        assert name in output


def test_printed_settings_are_settings(good):
    good("generate", *FLAGS, "-o", "set.h5", "--structures", "2", "-q")
    output = good("info set.h5").partition("settings\n")[2]
    with open("run.toml", "w") as file:
        file.write("\n".join(line[4:] for line in output.splitlines()))
    with Dataset("set.h5") as dataset:
        assert jentmax.recipe("run.toml").to_plain() == dataset.recipe


@pytest.fixture
def under_way(tmp_path, monkeypatch):
    """A set whose run was ended after a chunk or two, of which some structures were discarded."""

    def stop(progress):
        if progress.made:
            raise KeyboardInterrupt

    given = [word for word in FLAGS if word != "--set"]
    recipe = jentmax.recipe(None, [*given, "min_distance=1.8", "precision=float64"])
    with pytest.raises(KeyboardInterrupt):
        jentmax.generate(recipe, structures=400, output="set.h5", callback=stop, devices=1)
    return "set.h5"


def test_a_set_under_way(good, under_way):
    assert Parts(under_way).exists()
    for path in (under_way, f"{under_way}.parts"):
        output = good(f"info {path}")
        assert "set.h5 (generated, running)" in output
        with Dataset(path) as dataset:
            assert f"structures   {len(dataset)} of 12 atoms: W" in output
            if n := sum(dataset.discarded.values()):
                assert (
                    f"discarded    {n} too close, {dataset.fraction_discarded:.1%} of all" in output
                )
    good(f"export {under_way} set.extxyz")
    assert len(ase.io.read("set.extxyz", ":")) == len(Dataset(under_way))


def test_whole_ones_are_whole(good, under_way):
    good("generate", *FLAGS, "-o", "done.h5", "--structures", "2", "-q")
    output = good(f"info --check {under_way} done.h5")
    assert "done.h5 is whole: 2 structures, complete" in output
    assert "set.h5 is whole" in output


def test_a_damaged_file(call, good):
    """The block of a column that is damaged is named."""
    good("generate", *FLAGS, "-o", "set.h5", "--structures", "2", "-q")
    with h5py.File("set.h5") as file:
        place = file["atoms/positions"].id.get_chunk_info(0).byte_offset
    content = bytearray(Path("set.h5").read_bytes())
    content[place + 8] ^= 1
    Path("set.h5").write_bytes(content)
    code, output, errors = call("info --check set.h5")
    assert (code, output) == (2, "")
    assert "set.h5 is damaged:\n  structures 0 to 1: atoms/positions cannot be read" in errors


def test_a_file_that_is_cut_off(call, good):
    good("generate", *FLAGS, "-o", "set.h5", "-q")
    whole = Path("set.h5").read_bytes()
    Path("set.h5").write_bytes(whole[: len(whole) - 100])
    code, output, errors = call("info --check set.h5")
    assert (code, output) == (2, "")
    assert "set.h5" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("periodic", [True, False])
def test_a_described_set(good, periodic):
    """Without V and S, and without a density if there is no cell."""
    cell = 6 * np.eye(3) if periodic else None
    atoms = ase.Atoms("W2", [[0, 0, 0], [0, 0, 2.5]], cell=cell, pbc=periodic)
    ase.io.write("some.extxyz", atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = good("describe some.extxyz -o set.h5 --set descriptor.components=5")
    assert "set.h5 (described, complete)" in output
    assert "structures   1 of 2 atoms: W" in output
    assert "descriptors  5 of each of 2 atoms" in output
    assert "components = 5" in output
    assert ("density (atoms/Å^3)" in output) == periodic
    assert "S (nats)" not in output


def test_what_would_move_the_cursor_is_escaped(capsys, good):
    good("generate", *FLAGS, "-o", "set.h5", "--structures", "2", "-q")
    with Dataset("set.h5") as dataset:
        dataset.device = "a device\x1b[2J"
        dataset.recipe = {"start": {"formula": "W\x1b[2J"}, "\x1b[2J": 3}
        print_info(dataset)
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert "a device\\x1b[2J" in output
