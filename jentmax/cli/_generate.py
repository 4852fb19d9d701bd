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

from jentmax.cli._app import (
    Element,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    Quiet,
    SettingsArgument,
    app,
    load_settings,
    prepare,
)
from jentmax.cli._stopping import Stopper
from jentmax.cli._times import seconds
from jentmax.dataset import refuse_existing, refuse_inputs

if TYPE_CHECKING:
    from jentmax.generation import Progress

_PANEL = "Several processes"


@app.command()
def generate(
    settings: SettingsArgument = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    structures: Annotated[
        int | None, typer.Option(help="Number of structures.", show_default=False)
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
            help="Structures per batch on each device; by default the fastest number.",
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
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop after this time, with code 75 if unfinished: 3h50m, 90m, 2d, 1-12:00:00.",
            show_default=False,
        ),
    ] = None,
    process: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Run as process I (from 0) of N on one set; automatic under srun and mpirun.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Compute on the workers of a Dask scheduler, such as tcp://host:8786.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> None:
    """Generate structures full of different atomic environments.

    The same command continues an interrupted run, and a larger --structures extends
    a finished set. Any number of processes may work on one set.

    A signal (Ctrl-C, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU) ends the run at once with
    exit code 128 + the signal's number, --max-time with exit code 75. Both keep
    all finished chunks and print the command that continues the run.
    """
    with Stopper(None if max_time is None else seconds(max_time), max_time) as stopper:
        flags = {
            "run.structures": structures,
            "run.seed": seed,
            "run.output": None if output is None else str(output),
            "run.devices": devices,
            "batch_size": batch_size,
            "precision": precision,
        }
        given = [
            f"{name}={json.dumps(value, ensure_ascii=False)}"  # TOML has no surrogate pairs
            for name, value in flags.items()
            if value is not None
        ]
        cache = prepare(no_cache)
        tree, options, label = load_settings(
            settings, preset, [*(overrides or []), *given], element
        )
        path = Path(options.output)
        refuse_existing(path, overwrite=True)
        refuse_inputs(path, [settings])

        from jentmax.devices import import_jax, start

        import_jax()
        from jentmax.cli._console import Console
        from jentmax.cli._log import RunLog
        from jentmax.config import recipe_from
        from jentmax.dataset import Parts
        from jentmax.generation import generate as run
        from jentmax.generation import process_of, use_own_device

        own = process_of(process)
        if own.count > 1:
            use_own_device()
        start()
        recipe = recipe_from(tree, own_code=True, label=label)
        continues = Parts(path).exists() or (path.exists() and not overwrite)
        # Processes from one launcher share a terminal.
        silent = quiet or (process is None and own.index > 0)
        log = RunLog(path, continues, own.index)
        stopper.note = log.write
        with Console(recipe, options, quiet=silent) as console:
            console.begin()
            log.write(f"begun: {_here()}")

            def callback(progress: Progress) -> None:
                log.update(progress)
                console.update(progress)
                stopper.update(progress)

            try:
                run(
                    recipe,
                    structures=options.structures,
                    output=path,
                    seed=options.seed,
                    overwrite=overwrite,
                    devices=options.devices,
                    process=own,
                    scheduler=scheduler,
                    callback=callback,
                    cache=cache,
                )
            except Exception as error:
                log.write(f"error: {error}")
                raise
        log.write(f"complete: {console.summary(path)}")


def _here() -> str:
    """The command, its process and host, and the versions of the packages."""
    from jentmax.devices import versions

    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    words = shlex.join(["jentmax", *sys.argv[1:]])
    return f"{words}; process {os.getpid()} on {socket.gethostname()}; {packages}"
