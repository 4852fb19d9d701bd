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
from jentmax.errors import JentmaxError


@app.command()
def info(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Data sets, finished or under way.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read all of them, and list what is damaged.")
    ] = False,
) -> None:
    """Show what is in data sets, or whether they are whole."""
    if check:
        _check(paths)
        return
    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset

    for path in paths:
        with Dataset(path) as dataset:
            print_info(dataset)


_MOST_LINES = 10
"""Of what is damaged in a file; the rest is only counted."""


def _check(paths: list[Path]) -> None:
    """Read data sets, and say which are whole.

    Raises:
        JentmaxError: listing what is damaged.
    """
    from jentmax.dataset import Dataset

    errors = []
    for path in paths:
        try:
            with Dataset(path) as dataset:
                lines = dataset.damage()
        except JentmaxError as error:
            errors.append(str(error))
            continue
        if lines:
            left = len(lines) - _MOST_LINES
            errors += [f"{path} is damaged:", *lines[:_MOST_LINES]]
            errors += [f"and {left} more"] if left > 0 else []
        else:
            print(
                f"{path} is whole: {len(dataset)} structures, {dataset.status}; all checksums fit, "
                "all numbers are possible"
            )
    if errors:
        raise JentmaxError("\n  ".join(errors))


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
    overwrite: Overwrite = False,
) -> None:
    """Write structures in any format that ASE writes."""
    from jentmax.dataset import Dataset
    from jentmax.dataset import export as run

    refuse_inputs(output, [path])
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
    words = settings, preset, overrides or [], element
    descriptor = descriptor_for([path], *words)

    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset
    from jentmax.evaluation import describe_file

    with notes():
        described = describe_file(
            path,
            output,
            descriptor,
            overwrite,
            precision=precision or stored_precision(path, *words),
            format=format,
        )
    with Dataset(described) as dataset:
        print_info(dataset)
