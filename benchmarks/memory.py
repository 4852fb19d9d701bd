"""Memory of a long run, as a function of the number of chunks.

The chunks are very small, because any growth depends on their number. After each tenth of the run,
the script prints the number of chunks, the resident memory and the time per chunk.

    python benchmarks/memory.py [--chunks 2000] [--smoke]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from jentmax.devices import quieten, use_cache

quieten()
use_cache()

import jentmax as jm
from jentmax.generation import Progress

BATCH = 4

OVERRIDES = (
    f"batch_size={BATCH}",
    "cycles_per_chain=2",
    "start.formula=W8",
    "start.density=0.03",
    "descriptor.cutoff=3.6",
    "descriptor.twojmax=2",
    "descriptor.components=5",
    "entropy_weight=[100, 200]",
    "steps=10",
    "quench=false",
    "scale=[2, 0.3, 0.5, 1, 0.6]",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="40 chunks, to see that it works")
    given = parser.parse_args()
    found = measured(40 if given.smoke else given.chunks)
    for chunks, resident, seconds in found:
        print(f"{chunks:6} chunks  {resident:8.1f} MiB  {1000 * seconds:6.1f} ms a chunk")
    (first, before, _), (last, after, _) = found[0], found[-1]
    print(f"growth {1024 * (after - before) / (last - first):.2f} KiB a chunk")


def measured(n_chunks: int) -> list[tuple[int, float, float]]:
    """Number of chunks, resident memory (MiB) and recent seconds per chunk, at each tenth."""
    found: list[tuple[int, float, float]] = []
    began = time.monotonic()

    def callback(progress: Progress) -> None:
        nonlocal began
        chunks = progress.made // BATCH
        if chunks >= (len(found) + 1) * n_chunks // 10:
            before = found[-1][0] if found else 0
            now = time.monotonic()
            found.append((chunks, resident(), (now - began) / (chunks - before)))
            began = now

    with tempfile.TemporaryDirectory() as folder:
        jm.generate(
            jm.recipe("tungsten", OVERRIDES),
            structures=n_chunks * BATCH,
            output=Path(folder) / "set.h5",
            devices=1,
            callback=callback,
        )
    return found


def resident() -> float:
    """Resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
