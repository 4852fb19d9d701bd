"""jentmax info, export and describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jentmax.cli._app import (
    Element,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    SettingsFile,
    app,
    descriptor_for,
    prepare,
)
from jentmax.dataset import refuse_existing


@app.command()
def info(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Data sets, finished or under way.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read all of them, and tell what is damaged.")
    ] = False,
) -> None:
    """Show what is in data sets, or whether they are whole."""
    if check:
        from jentmax.cli._checks import print_checks

        print_checks(paths)
        return
    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset

    for path in paths:
        with Dataset(path) as dataset:
            print_info(dataset)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Data set, finished or under way.")],
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
    from jentmax.dataset import Dataset
    from jentmax.dataset import export as run

    if whole:
        from jentmax.dataset import whole_structures

        structures, n_left_out = whole_structures(path)
        run(structures, output, format, overwrite=overwrite)
        print(f"{len(structures)} structures written to {output}, {n_left_out} left out as damaged")
        return
    with Dataset(path) as dataset:
        run(dataset, output, format, overwrite=overwrite)
        print(f"{len(dataset)} structures written to {output}")


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
    prepare(no_cache)
    descriptor = descriptor_for([path], settings, preset, overrides or [], element)

    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset
    from jentmax.evaluation import describe_file

    with Dataset(describe_file(path, output, descriptor, overwrite)) as dataset:
        print_info(dataset)
