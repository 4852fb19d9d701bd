"""Store all numbers of an evaluation in an HDF5 file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from jentmax.devices import versions
from jentmax.evaluation import STATISTICS, plain_descriptor

if TYPE_CHECKING:
    from jentmax.evaluation import Evaluation


def store(evaluation: Evaluation, path: Path) -> None:
    """Write all numbers of an evaluation to a new file; docs/evaluation.md lists its contents."""
    how, kernels = evaluation.decompositions, evaluation.kernels
    with h5py.File(path, "x") as file:
        file.attrs.update(
            {
                "format": "jentmax evaluation",
                "names": list(evaluation.names),
                "reference": evaluation.reference,
                "scaling": evaluation.scaling,
                "train": how.train,
                "test": how.test,
                "decompositions": how.number,
                "seed": how.seed,
                "by": how.by,
                "components": list(evaluation.labels),
                "map_fractions": evaluation.map_fractions,
                "descriptor": json.dumps(plain_descriptor(evaluation.descriptor)),
                "versions": [f"{name} {number}" for name, number in versions().items()],
            }
        )
        for place, one in enumerate(evaluation.sets):
            own = {
                "features": evaluation.features[one.name].astype(np.float32),
                "neighbors": one.description.neighbors.astype(np.int32),
                "nearest": one.description.nearest,
                "pointer": one.structures.pointer,
                "groups": one.structures.groups,
                "repeated": one.structures.duplicate,
                "entropy": evaluation.entropies[one.name],
                "density": one.densities,
                "least_distance": one.least_distances,
                "mean_neighbors": one.mean_neighbors,
                "radial": np.array(evaluation.radial[one.name]),
                "map": evaluation.map_points[one.name],
                "exemplars": np.array(evaluation.exemplars[one.name]),
                "group_names": np.array(evaluation.coverage.group_names[place]),
                "group_means": evaluation.coverage.group_means[place],
            }
            if evaluation.higher:
                own["higher_features"] = evaluation.higher.features[one.name].astype(np.float32)
                own["correlation"] = evaluation.higher.correlation[one.name]
            group = file.create_group(f"sets/{place}")
            group.attrs.update({"name": one.name, "path": one.path, "dropped": one.n_dropped})
            _write(group, own)
        covered = file.create_group("coverage")
        covered.attrs["statistics"] = list(STATISTICS)
        _write(
            covered,
            {
                "statistics": evaluation.coverage.statistics,
                "novel": evaluation.coverage.novel,
                "distances": evaluation.coverage.distances.astype(np.float32),
            },
        )
        measures = file.create_group("measures")
        measures.attrs.update(
            {
                "bandwidth": kernels.bandwidth,
                "n_environments": kernels.n_environments,
                "n_vendi": kernels.n_vendi,
            }
        )
        _write(
            measures,
            {
                "kernel_entropy": kernels.entropy,
                "delta_entropy": kernels.delta_entropy,
                "overlap": kernels.overlap,
                "vendi_score": kernels.vendi_score,
                "log_determinant": evaluation.log_determinant,
            },
        )
        _write(file.create_group("scaling"), {"shift": evaluation.shift, "scale": evaluation.scale})
        if evaluation.higher:
            file.attrs["higher_components"] = list(evaluation.higher.labels)


def _write(group: h5py.Group, arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        text = values.dtype.kind == "U"
        group.create_dataset(
            name,
            data=values.astype(object) if text else values,
            dtype=h5py.string_dtype() if text else None,
            compression="gzip" if values.size > 1000 else None,
            shuffle=values.size > 1000 and not text,
        )
