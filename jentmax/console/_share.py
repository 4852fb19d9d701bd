"""What a set has come to that several processes make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jentmax.shares import Share


def print_share(path: Path, share: Share) -> None:
    """Print how far a set is when a process has made its share, and what to do."""
    from jentmax.dataset import Dataset, n_asked
    from jentmax.set_files import n_at_work

    if not path.exists():  # no process has a structure yet
        print(f"{share}: done", flush=True)
        return
    with Dataset(path, may_be_empty=True) as dataset:
        told = f"{share}: done; {path} has {len(dataset)} of {n_asked(dataset.settings)} structures"
        complete, n_files = dataset.status == "complete", len(dataset.paths)
    if complete:
        told += f"; jentmax merge {path} makes one file of it" if n_files > 1 else ""
    elif at_work := n_at_work(path):
        told += f", {at_work} {'process is' if at_work == 1 else 'processes are'} at work"
    else:
        told += ", and no other process is at work; make the rest with --resume"
    print(told, flush=True)
