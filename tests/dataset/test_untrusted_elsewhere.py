"""Files from elsewhere: what other rooms make of them."""

from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest

from jentmax.dataset import printable, read_structures
from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.evaluation import _evaluate, describe

EVIL = "</script><script>alert('set & \"name\"')</script><!--"
CLEAR_SCREEN = "\x1b[2J"


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (ase.Atoms("W2", [[0, 0, 0], [1e12, 0, 0]]), "longer than 1e"),
        (ase.Atoms("W", cell=[1e200] * 3, pbc=True), "longer than 1e"),
        (ase.Atoms("W", cell=[1e-6, 9, 9], pbc=[1, 0, 0]), "so thin that 7.2e"),
        (
            ase.Atoms("W", cell=[[1e5, 0, 0], [1e5, 1e-5, 0], [0, 0, 1e3]], pbc=True),
            "so thin that 6.48e",
        ),
    ],
)
def test_cells_that_no_search_for_neighbours_stands(atoms, message):
    with pytest.raises(JentmaxError, match=f"structure 1: .*{message}"):
        describe([ase.build.bulk("W"), atoms], Snap(cutoff=3.6, twojmax=2, components=5))


@pytest.mark.slow
def test_reports_show_what_files_say_and_do_not_run_it(good, monkeypatch):
    monkeypatch.setattr(_evaluate, "higher_components", lambda *given: None)  # takes long
    group = f"{EVIL}{CLEAR_SCREEN}../../stolen | $x"
    files = ["<script>alert(1)<", f"{CLEAR_SCREEN}b"]
    for seed, name in enumerate(files):
        random = np.random.default_rng(seed)
        structures = [
            ase.Atoms("W9", random.uniform(0, 6, (9, 3)), cell=6 * np.eye(3), pbc=True)
            for _ in range(4)
        ]
        for k, atoms in enumerate(structures):
            atoms.info["config_type"] = f"{group}{k % 2}"
        ase.io.write(f"{name}.extxyz", structures)
    assert read_structures(f"{files[0]}.extxyz").groups[0] == printable(f"{group}0")
    few = ["descriptor.twojmax=2", "descriptor.components=5", "descriptor.cutoff=3.4"]
    options = [word for setting in few for word in ("--set", setting)]
    output = good("evaluate", *(f"{n}.extxyz" for n in files), "--decompositions", "2", *options)
    assert "\x1b" not in output
    report = Path("report/report.html").read_text()
    assert "\x1b" not in report
    for text in (EVIL, "<script>alert"):
        assert text not in report
    assert "&lt;script&gt;alert" in report
    written = {path.name for path in Path("report").rglob("*")}
    assert not any("stolen" in name or "<" in name for name in written)
    assert list(Path().rglob("*stolen*")) == []


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
        "run = 1",
        "[run]\nseed = 0x" + "f" * 5000,
        "[run]\nseed = " + "[" * 90 + "]" * 90,
        f"[run]\noutput = '{CLEAR_SCREEN}'",
    ],
)
def test_settings_that_are_hard_to_read(call, text):
    Path("run.toml").write_text(text)
    code, _, errors = call("config check run.toml")
    assert (code, errors.startswith("error: run.toml: ")) == (2, True), errors
    assert "\x1b" not in errors
