"""jentmax info, export and describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jentmax._output import refuse_existing
from jentmax.cli._app import (
    Element,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    SettingsFile,
    app,
    prepare,
    settings_for,
)


@app.command()
def info(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Data set files (HDF5).")],
    check: Annotated[
        bool, typer.Option("--check", help="Read all of them, and tell what is damaged.")
    ] = False,
) -> None:
    """Show what is in data sets, or whether they are whole."""
    from jentmax.console import print_checks, print_info
    from jentmax.dataset import Dataset, set_paths

    if check:
        print_checks([file for path in paths for file in set_paths(path)])
        return
    for path in paths:
        with Dataset(path) as dataset:
            print_info(dataset)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Data set file (HDF5).")],
    output: Annotated[
        str,
        typer.Argument(
            help="File to write; its ending tells the format. A folder (ending in /) gets POSCARs."
        ),
    ],
    format: Annotated[
        str | None, typer.Option(help="ASE's name of the format.", show_default=False)
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Leave out what is damaged, instead of refusing a file.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write structures in any format that ASE writes."""
    from jentmax.dataset import Dataset, whole_structures_of_set
    from jentmax.export import export as run

    if whole:
        structures, n_left_out, unreadable = whole_structures_of_set(path)
        run(structures, output, format, overwrite=overwrite)
        typer.echo(
            f"{len(structures)} structures written to {output}, {n_left_out} left out as damaged"
        )
        for told in unreadable:
            typer.echo(f"nothing could be read: {told}", err=True)
        return
    with Dataset(path) as dataset:
        run(dataset, output, format, overwrite=overwrite)
        typer.echo(f"{len(dataset)} structures written to {output}")


@app.command()
def describe(
    path: Annotated[Path, typer.Argument(help="File that ASE reads, or a data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Compute the descriptors of given structures."""
    refuse_existing(output, overwrite)
    resolved = settings_for([path], settings, preset, overrides or [], element)

    prepare(no_cache)

    from jentmax.console import print_info
    from jentmax.dataset import Dataset
    from jentmax.describe import describe_file

    with Dataset(describe_file(path, output, resolved, overwrite)) as dataset:
        print_info(dataset)


@app.command()
def merge(
    path: Annotated[Path, typer.Argument(help="Data set that several processes have made.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HDF5 file to write; by default in place.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one file of a data set that several processes have made."""
    from jentmax.dataset import Dataset
    from jentmax.set_files import merge as run

    with Dataset(run(path, output, overwrite=overwrite)) as dataset:
        typer.echo(f"{dataset.path}: {len(dataset)} structures in one file, {dataset.status}")
