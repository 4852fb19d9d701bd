"""The drawing of a selection, and where it must not stand."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from jentmax.errors import JentmaxError
from jentmax.evaluation import Selection
from jentmax.report import _selection, draw_selection, selection_figure


def selection(n=200, random_at: Literal["cost", "environments"] = "environments"):
    sizes = np.arange(1, n + 1)
    return Selection(
        chosen=sizes - 1,
        method="entropy",
        candidates=n,
        candidate_environments=9 * n,
        candidate_cost=729.0 * n,
        cost_exponent=3.0,
        n_structures=sizes,
        n_environments=9 * sizes,
        cost=729.0 * sizes,
        mean=1 / sizes,
        quantile=1.5 / sizes,
        maximum=2 / sizes,
        random_at=random_at,
        random_mean=3 / sizes,
        random_spread=1 / sizes,
    )


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")])
def test_drawn(name, start):
    assert draw_selection(selection(), name) == Path(name)
    assert Path(name).read_bytes().startswith(start)
    draw_selection(selection(1, "cost"), name)  # replaced


def test_points_are_apart_in_cost_and_leave_out_0(monkeypatch):
    drawn = []
    monkeypatch.setattr(_selection, "coverage_curve", lambda *given: drawn.append(given))
    monkeypatch.setattr(_selection, "rendered", lambda *given, **options: b"")
    sizes = np.arange(201)
    costs = np.where(sizes < 150, 1.0 * sizes, 1e4 * (sizes - 149))
    curve = 1 / (sizes + 1)
    before = dataclasses.replace(
        selection(200, "cost"),
        mean=curve,
        random_mean=curve,
        random_spread=curve,
        n_structures=sizes,
        cost=costs,
        candidate_cost=costs[-1],
    )
    draw_selection(before, "a.png")
    spent, _, structures, *_ = drawn[0]
    assert (spent[0], spent[-1]) == (100 * costs[1] / costs[-1], 100)
    assert len(structures) <= 60
    assert (structures >= 150).sum() > 5


def test_the_path():
    Path("old.png").touch()
    assert selection_figure("best.extxyz") == Path("best.extxyz.png")
    assert selection_figure("best.traj") == Path("best.traj.png")
    assert selection_figure("best/") == Path("best.png")
    assert selection_figure("best.extxyz", "curve.pdf") == Path("curve.pdf")
    assert selection_figure("best.extxyz", "old.png", overwrite=True) == Path("old.png")
    for output, figure, message in (
        ("best.extxyz", "old.png", "old.png exists"),
        ("old", None, "old.png exists"),
        ("best.extxyz", "best.what", "--figure best.what: its ending must be one of"),
        ("best.png", "best.png", "--figure best.png: is the output's path too"),
        ("best.extxyz", "none/best.png", "there is no folder"),
    ):
        with pytest.raises(JentmaxError) as raised:
            selection_figure(output, figure)
        assert message in str(raised.value)
    with pytest.raises(JentmaxError, match="cannot be written"):
        draw_selection(selection(), "none/best.png")
