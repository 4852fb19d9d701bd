"""Measures of the comparison of the estimators, in cases with known results."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jentmax import devices

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_estimators.py"


@pytest.fixture
def script(monkeypatch):
    for name in ("quieten", "use_cache"):
        monkeypatch.setattr(devices, name, lambda: None)  # for processes without JAX yet
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_roughness_of_springs(script):
    # F = -k x changes by k times the displacement, so relative to it by h sqrt(n) / |x|.
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(5, 3, 4))
    directions = rng.normal(size=positions.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = script.roughness(lambda x: -7 * x, positions, directions, 0.1)
    expected = 0.1 * np.sqrt(5) / np.linalg.norm(positions, axis=(0, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)  # rounding


def test_distances_are_to_environments_of_other_structures(script):
    # Two structures of environments that lie at 0 and 1, and at 3 and 10.
    features = np.array([[[0.0], [1.0]], [[3.0], [10.0]]])
    np.testing.assert_allclose(script.between(features), [(3 + 2) / 2, (2 + 9) / 2])


def test_the_own_estimator_is_marked(script):
    def row(value):
        return {
            "entropy_weight": 0.0,
            "discarded": 0,
            "entropies": {"one": [value, 0.1], "other": [value + 1, 0.1]},
            "spread": [1.0],
            "least_distance": [2.0, 0.1],
            "least_distance_of_all": 1.9,
            "between": [1.0, 0.1],
            "roughness": [[value, 0.1]] * len(script.DISPLACEMENTS),
            "roughness_at_unbiased": [[value, 0.1]] * len(script.DISPLACEMENTS),
            "temperature_error": [0.1, 0.01],
            "step": 1e-4 * value,
        }

    text = script.tables({script.UNBIASED: row(1.0), "one": row(2.0), "other": row(3.0)})
    assert "| unbiased | 1.00 ± 0.10 | 2.00 ± 0.10 |" in text
    assert "| one | **2.00 ± 0.10** | 3.00 ± 0.10 |" in text
    assert "| other | 3.00 ± 0.10 | **4.00 ± 0.10** |" in text
    assert "| 300 µs, 1.50 |" in text  # of the first estimator's
