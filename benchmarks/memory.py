"""Memory of a long run: what a process takes after more and more batches.

Very small batches, as what grows grows with their number. Prints, after each tenth of the run, the
batches done, the resident memory and the time that a batch took, the console's work included.

    python benchmarks/memory.py [--batches 2000] [--smoke]
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

from jentmax.devices import quieten, use_cache, use_every_core

quieten()
use_every_core()
use_cache()

from jentmax import load  # noqa: E402
from jentmax.console import Console, RunLog  # noqa: E402
from jentmax.generation import generate  # noqa: E402

BATCH = 4

OVERRIDES = (
    f"run.batch_size={BATCH}",
    "run.devices=1",
    "run.cycles_per_chain=2",
    "system.n_atoms=8",
    "system.density=0.03",
    "descriptor.cutoff=3.6",
    "descriptor.twojmax=2",
    "descriptor.components=5",
    "potential.entropy_weight=[100, 200]",
    "sampler.steps=10",
    "quench.steps=0",
    "scaling.kind=given",
    "scaling.scale=[2, 0.3, 0.5, 1, 0.6]",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="40 batches, to see that it works")
    given = parser.parse_args()
    for batches, resident, seconds in measured(40 if given.smoke else given.batches):
        print(f"{batches:6} batches  {resident:8.1f} MiB  {1000 * seconds:6.1f} ms a batch")


def measured(n_batches: int) -> list[tuple[int, float, float]]:
    """Batches, resident memory (MiB) and seconds for each of the latest, at each tenth."""
    settings = load("tungsten", [*OVERRIDES, f"run.structures={n_batches * BATCH}"])
    found: list[tuple[int, float, float]] = []
    began = time.monotonic()
    console = Console(settings)

    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder) / "set.h5", goes_on=False)

        def report(progress) -> None:
            nonlocal began
            log.report(progress)
            with contextlib.redirect_stdout(io.StringIO()):
                console.report(progress)
            batches = len(progress.entropy) // BATCH
            if batches >= (len(found) + 1) * n_batches // 10:
                before = found[-1][0] if found else 0
                now = time.monotonic()
                found.append((batches, resident(), (now - began) / (batches - before)))
                began = now

        generate(settings, Path(folder) / "set.h5", report=report)
    return found


def resident() -> float:
    """Resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
