"""jentmax generate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

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
from jentmax.errors import JentmaxError


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
    no_cache: NoCache = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make structures full of different atomic environments."""
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
            "--overwrite replaces the output, --resume and --extend go on with it; give one of them"
        )
    resolved = load_settings(settings, preset, [*(overrides or []), *given], element)
    refuse_existing(Path(resolved.run.output), overwrite or resume or extend)

    cache = prepare(no_cache)

    from jentmax.console import Console

    with Console(resolved, quiet=quiet) as console:
        from jentmax.generation import generate as run

        console.begin()
        path = run(
            resolved,
            overwrite=overwrite,
            resume=resume,
            extend=extend,
            report=console.report,
            cache=cache,
        )
    console.summary(path)
