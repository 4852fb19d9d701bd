"""jentmax info, export and describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from jentmax.cli._app import (
    Element,
    Format,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    SettingsFile,
    app,
    descriptor_for,
    notes,
    prepare,
    stored_precision,
)
from jentmax.dataset import refuse_existing, refuse_inputs


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
        str | None,
        typer.Option(
            "--output-format",
            "--format",
            help="ASE's name of the output's format.",
            show_default="what its name shows",
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Leave out what is damaged, instead of refusing a file.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write structures in any format that ASE writes."""
    from jentmax.dataset import Dataset
    from jentmax.dataset import export as run

    refuse_inputs(output, [path])
    if whole:
        from jentmax.dataset import whole_structures

        structures, n_left_out = whole_structures(path)
        with notes():
            run(structures, output, format, overwrite=overwrite)
        print(f"{len(structures)} structures written to {output}, {n_left_out} left out as damaged")
        return
    with Dataset(path) as dataset, notes():
        run(dataset, output, format, overwrite=overwrite)
        print(f"{len(dataset)} structures written to {output}")


@app.command()
def describe(
    path: Annotated[Path, typer.Argument(help="File that ASE reads, or a data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    format: Format = None,
    precision: Annotated[
        Literal["float32", "float64"] | None,
        typer.Option(
            help="Of the stored descriptors.", show_default="that of the settings, or float32"
        ),
    ] = None,
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Compute the descriptors of given structures."""
    refuse_inputs(output, [path, settings])
    refuse_existing(output, overwrite)
    prepare(no_cache)
    words = [path], settings, preset, overrides or [], element
    descriptor = descriptor_for(*words)

    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset
    from jentmax.evaluation import describe_file

    with notes():
        described = describe_file(
            path,
            output,
            descriptor,
            overwrite,
            precision=precision or stored_precision(*words),
            format=format,
        )
    with Dataset(described) as dataset:
        print_info(dataset)
