"""Structures per second of 1, 2, ... processes that share a run, one core (or GPU) each.

    python benchmarks/processes.py --processes 1 2 --repeats 3 --output scaling.json

Each process makes as many structures, on a device of its own (weak scaling, as on a cluster). The
rate is that from the first batch on disk to the last: starting and compiling are left out, and told
beside it. Repeats go round, so that a machine that slows down does so for all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 16


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, default=6, help="of each process")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.batches, options.steps, *options.one)
        return
    found: dict[int, list[dict]] = {count: [] for count in options.processes}
    for _ in range(options.repeats):
        for count in options.processes:
            found[count].append(measured(count, options.batches, options.steps))
    first = options.processes[0]
    table = []
    for count, runs in found.items():
        row = {
            "processes": count,
            "structures_per_s": statistics.median(run["rate"] for run in runs),
            "to_first_structure_s": statistics.median(run["start"] for run in runs),
            "kB_per_structure": runs[0]["kB_per_structure"],
        }
        pairs = zip(runs, found[first], strict=True)
        row["times_one"] = statistics.median(
            run["rate"] / alone["rate"] * first for run, alone in pairs
        )
        row["MB_per_s"] = row["structures_per_s"] * row["kB_per_structure"] / 1e3
        table.append(row)
        print(
            f"{count:3d} processes  {row['structures_per_s']:7.2f} structures/s  "
            f"{row['times_one']:5.2f} times one  first structure after "
            f"{row['to_first_structure_s']:5.1f} s  {row['MB_per_s']:.4f} MB/s",
            flush=True,
        )
    if options.output:
        options.output.write_text(json.dumps({"table": table, "runs": found}, indent=1) + "\n")


def measured(count: int, n_batches: int, steps: int) -> dict:
    """Rate of so many processes together."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--batches", str(n_batches), "--steps", str(steps)]
        began = time.time()
        running = [
            subprocess.Popen(
                [*command, "--one", str(index), str(count), str(cores[index % len(cores)])],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(count)
        ]
        told = [json.loads(process.communicate()[0]) for process in running]
        shards = list(Path(folder).glob("set.h5.shards/*.h5")) or [Path(folder, "set.h5")]
        size = sum(path.stat().st_size for path in shards)
    # All of them at work: from the last one's first structures to the first one's last.
    rate = sum(
        (process["n"][-1] - process["n"][0]) / (process["times"][-1] - process["times"][0])
        for process in told
    )
    return {
        "rate": rate,
        "start": max(process["times"][0] for process in told) - began,
        "kB_per_structure": size / sum(process["n"][-1] for process in told) / 1e3,
    }


def one(n_batches: int, steps: int, index: str, count: str, core: str) -> None:
    """One of the processes: prints when it had how many structures."""
    os.sched_setaffinity(0, {int(core)})
    from jentmax.devices import quieten, use_cache, use_every_core

    quieten()
    use_every_core()
    use_cache()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", index)

    import jentmax
    from jentmax.progress import Progress
    from jentmax.shares import Share

    n_structures = BATCH * n_batches * int(count)
    settings = jentmax.load(
        "tungsten",
        [
            f"run.structures={n_structures}",
            "run.cycles_per_chain=1",
            f"run.batch_size={BATCH}",
            "run.devices=1",
            f"sampler.steps={steps}",
        ],
    )
    times, n = [], []

    def report(progress: Progress) -> None:
        if progress.entropy and (not n or len(progress.entropy) > n[-1]):
            times.append(time.time())
            n.append(len(progress.entropy))

    jentmax.generate(settings, "set.h5", share=Share(int(index), int(count)), report=report)
    print(json.dumps({"times": times, "n": n}))


if __name__ == "__main__":
    main()
