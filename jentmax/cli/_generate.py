"""jentmax generate."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jentmax._output import refuse_existing
from jentmax.cli._app import (
    Element,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    SettingsArgument,
    app,
    load_settings,
    prepare,
)
from jentmax.cli._processes import Coordinator, Processes, ProcessId, Shard, share_of
from jentmax.cli._stopping import Stopper
from jentmax.cli._times import seconds
from jentmax.errors import JentmaxError
from jentmax.shares import ALONE

if TYPE_CHECKING:
    from jentmax.progress import Progress


@app.command()
def generate(
    settings: SettingsArgument = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    structures: Annotated[
        int | None, typer.Option(help="Structures to make.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all randomness.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HDF5 file to write.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Structures side by side on each device; by default what is fastest.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(help="CPU cores or GPUs to use; by default all.", show_default=False),
    ] = None,
    precision: Annotated[
        Literal["float32", "float64"] | None,
        typer.Option(help="Floating-point type.", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an output that is not complete.")
    ] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="Go on with an output, to more structures.")
    ] = False,
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop in time, with code 75 if not complete: 3h50m, 90m, 2d, 1:30:00, 1-12:00:00.",
            show_default=False,
        ),
    ] = None,
    shard: Shard = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    no_cache: NoCache = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make structures full of different atomic environments.

    A signal (Ctrl-C, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU) ends the run with all that is done in the
    file, and exit code 128 + the signal's number; a second one ends it at once. Exit code 75: the
    time given by --max-time was over. Both print the command that goes on with the run.
    """
    with Stopper(None if max_time is None else seconds(max_time), max_time) as stopper:
        flags = {
            "structures": structures,
            "seed": seed,
            "output": None if output is None else str(output),
            "batch_size": batch_size,
            "devices": devices,
            "precision": precision,
        }
        given = [
            f"run.{name}={json.dumps(value, ensure_ascii=False)}"  # TOML has no surrogate pairs
            for name, value in flags.items()
            if value is not None
        ]
        if overwrite and (resume or extend):
            raise JentmaxError(
                "--overwrite replaces the output, --resume and --extend go on with it; give one of "
                "them"
            )
        resolved = load_settings(settings, preset, [*(overrides or []), *given], element)
        path = Path(resolved.run.output)
        refuse_existing(path, overwrite=True)
        share = share_of(shard, coordinator, processes, process_id)
        goes_on = resume or extend
        if share == ALONE:  # or else others may have begun
            refuse_existing(path, overwrite or goes_on)

        cache = prepare(no_cache)
        own = share.path(path)
        goes_on = goes_on and own.exists()
        stopper.begin(own, path)

        from jentmax.console import Console, RunLog, print_share

        log = RunLog(own, goes_on)
        stopper.note = log.tell
        # The launcher's terminal is that of all.
        others = shard is None and share.index > 0
        with Console(resolved, quiet=quiet or others) as console:
            from jentmax.generation import generate as run

            console.begin()
            log.tell(f"begun: {_here()}")

            def report(progress: Progress) -> None:
                log.report(progress)
                console.report(progress)
                stopper.report(progress)

            try:
                run(
                    resolved,
                    overwrite=overwrite,
                    resume=resume,
                    extend=extend,
                    share=share,
                    report=report,
                    cache=cache,
                )
            except JentmaxError as error:
                log.tell(f"error: {error}")
                raise
        log.tell(f"complete: {console.summary(path)}")
        if share != ALONE and not quiet:
            print_share(path, share)


def _here() -> str:
    """The command, where and with what it runs."""
    from jentmax.versions import versions

    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    words = shlex.join(["jentmax", *sys.argv[1:]])
    return f"{words}; process {os.getpid()} on {socket.gethostname()}; {packages}"
