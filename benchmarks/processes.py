"""Structures per second of 1, 2, ... processes on one set, with one core or GPU each.

    python benchmarks/processes.py --processes 1 2 --repeats 3 --output scaling.json

The number of structures is proportional to the number of processes (weak scaling, as on a cluster),
and each process has a separate device. The rate covers the time from a process's first chunk on
disk to its last. It excludes startup and compilation, which are reported separately. The numbers of
processes alternate, so that a slower machine affects all of them.
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
    parser.add_argument("--chunks", type=int, default=6, help="of each process")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--process", metavar="I/N", help="be process I of N, and make set.h5 here")
    parser.add_argument("--core", type=int, help="of that process; all by default")
    options = parser.parse_args()
    if options.chunks < 3:
        parser.error("--chunks: a rate takes at least 3")
    if options.process:
        if options.core is not None:
            os.sched_setaffinity(0, {options.core})
        one(options.chunks, options.steps, options.process)
        return
    found: dict[int, list[dict]] = {count: [] for count in options.processes}
    for _ in range(options.repeats):
        for count in options.processes:
            found[count].append(measured(count, options.chunks, options.steps))
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


def measured(count: int, n_chunks: int, steps: int) -> dict:
    """Total rate of a number of processes."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--chunks", str(n_chunks), "--steps", str(steps)]
        began = time.time()
        running = []
        for index in range(count):
            core = cores[index % len(cores)]
            running.append(
                subprocess.Popen(
                    [*command, "--process", f"{index}/{count}", "--core", str(core)],
                    cwd=folder,
                    env=os.environ | {"CUDA_VISIBLE_DEVICES": str(index)},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        printed = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            raise SystemExit("a process failed; see its message above")
        results = [json.loads(text) for text in printed]
        size = Path(folder, "set.h5").stat().st_size
    # While all processes work: from the latest first structure to the earliest last one.
    rate = sum(
        (process["n"][-1] - process["n"][0]) / (process["times"][-1] - process["times"][0])
        for process in results
    )
    return {
        "rate": rate,
        "start": max(process["times"][0] for process in results) - began,
        "kB_per_structure": size / (BATCH * n_chunks * count) / 1e3,
    }


def one(n_chunks: int, steps: int, words: str) -> None:
    """One of the processes: prints times and numbers of structures."""
    from jentmax.devices import quieten, use_cache

    quieten()
    use_cache()

    import jentmax as jm
    from jentmax.generation import Progress, process_of

    process = process_of(words)
    recipe = jm.recipe("tungsten", ["cycles_per_chain=1", f"batch_size={BATCH}", f"steps={steps}"])
    times, n = [], []

    def callback(progress: Progress) -> None:
        if progress.made and (not n or progress.made > n[-1]):
            times.append(time.time())
            n.append(progress.made)

    jm.generate(
        recipe,
        structures=BATCH * n_chunks * process.count,
        output="set.h5",
        process=process,
        devices=1,
        callback=callback,
    )
    print(json.dumps({"times": times, "n": n}))


if __name__ == "__main__":
    main()
