"""Many annealing cycles: batches of chains, and the data set file that they fill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp

from jentmax._output import refuse_existing
from jentmax.batch import Batch
from jentmax.build import build_potential
from jentmax.config import Settings, to_toml
from jentmax.dataset import DatasetWriter
from jentmax.progress import Counter, Report, ignore
from jentmax.scaling import feature_scaling
from jentmax.versions import device_name, versions


def generate(
    settings: Settings,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    report: Report = ignore,
) -> Path:
    """Make structures of low effective energy and write them to an HDF5 file.

    Structure i is cycle ``i mod cycles_per_chain`` of chain ``i div cycles_per_chain``. It depends
    on the seed, i and the settings alone (bit for bit at the same batch size on the same kind of
    device), and is on disk soon after its cycle has ended.

    Args:
        settings: from `jentmax.load`.
        output: path of the file; ``settings.run.output`` by default.
        overwrite: whether an existing file may be replaced.
        report: called with the progress after each tenth of a cycle.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: if the output exists or cannot be written, or the settings cannot be met.

    >>> import jentmax
    >>> settings = jentmax.load("tungsten", ["run.structures=4", "run.batch_size=4",
    ...     "run.cycles_per_chain=1", "sampler.steps=50", "quench.steps=10", "scaling.steps=50"])
    >>> path = jentmax.generate(settings, "few.h5")
    >>> with jentmax.Dataset(path) as data:
    ...     print(len(data), data[0].symbols, bool(data.least_distance.min() > 1.5))
    4 W39 True
    """
    run = settings.run
    path = Path(run.output if output is None else output)
    refuse_existing(path, overwrite)
    counter = Counter(run.structures, report)
    with jax.enable_x64(run.precision == "float64"):
        dtype = jnp.float64 if run.precision == "float64" else jnp.float32
        if settings.scaling.kind == "preliminary":
            counter.show("compiling and making the preliminary run")
        scaling = feature_scaling(settings, dtype)
        counter.show("compiling the annealing and the quench")
        with DatasetWriter.create(
            path,
            settings_toml=to_toml(settings),
            seed=run.seed,
            device=device_name(),
            scale=scaling.scale,
            shift=scaling.shift,
            versions=versions(),
            overwrite=overwrite,
        ) as writer:
            # One per number of atoms, so that every batch after its first finds it compiled.
            potentials = [
                build_potential(settings, scaling.scale, n_atoms)
                for n_atoms in settings.system.atom_counts()
            ]
            for chains in batches(settings):
                potential = potentials[chains[0] % len(potentials)]
                batch = Batch(settings, potential, chains, dtype, counter)
                for cycle in range(run.cycles_per_chain):
                    if not batch.wanted(cycle):
                        break
                    try:
                        rows = batch.rows(cycle)
                    finally:
                        writer.quarantined = counter.quarantined
                    writer.append(rows)
    return path


def batches(settings: Settings) -> Iterator[list[int]]:
    """Numbers of the chains that run side by side, batch after batch.

    All batches have the same size, so that the last one is computed as the others are: what it
    has too many is not written. With several numbers of atoms a batch has one of them.
    """
    run = settings.run
    n_chains = -(-run.structures // run.cycles_per_chain)
    numbers = len(settings.system.atom_counts())
    for kind in range(numbers):
        for first in range(kind, n_chains, run.batch_size * numbers):
            yield [first + numbers * place for place in range(run.batch_size)]
