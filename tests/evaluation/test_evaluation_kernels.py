"""Measures by kernels for several sets: which one is trained on, and by how many environments."""

import numpy as np
import pytest

from jentmax.evaluation._kernels import compare_by_kernels


def test_one_place_and_two():
    """All of one set at one place, the other half there and half far away."""
    near, far = np.zeros((300, 2)), np.full((300, 2), 100.0)
    found = compare_by_kernels({"one": near, "two": np.concatenate([near, far])}, seed=0)
    assert (found.n_environments, found.n_vendi) == (150, 150)
    # Rounding; of the other set some 75 of 150 drawn, and five standard deviations of that.
    assert found.entropy[0] == pytest.approx(0, abs=1e-12)
    assert found.vendi_score[0] == pytest.approx(1, rel=1e-9)
    assert found.entropy[1] == pytest.approx(np.log(2), abs=0.1)
    assert found.vendi_score[1] == pytest.approx(2, rel=0.1)
    # Trained on both places all is known, trained on one it is half.
    assert np.array_equal(found.overlap[[0, 1, 1], [0, 0, 1]], [1, 1, 1])
    assert found.overlap[0, 1] == pytest.approx(0.5, abs=0.2)
    exponent = 100**2 / found.bandwidth**2
    assert found.delta_entropy[0, 0] == pytest.approx(-np.log(150), rel=1e-12)
    expected = (1 - found.overlap[0, 1]) * exponent - np.log(150)
    assert found.delta_entropy[0, 1] == pytest.approx(expected, rel=1e-9)


def test_no_environment_is_trained_on_and_tested():
    """Each stands alone, so that none that is tested is known."""
    features = {"a": 100 * np.arange(40.0)[:, None], "b": 100 * np.arange(60.0)[:, None] + 50}
    assert np.array_equal(compare_by_kernels(features, seed=1).overlap, np.zeros((2, 2)))
