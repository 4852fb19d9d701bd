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
        list[Path], typer.Argument(metavar="PATH...", help="Data sets, finished or not.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read everything and list the damage.")
    ] = False,
) -> None:
    """Show the contents of data sets, or check them for damage."""
    if check:
        _check(paths)
        return
    from jentmax.cli._info import print_info
    from jentmax.dataset import Dataset

    for path in paths:
        with Dataset(path) as dataset:
            print_info(dataset)


_MOST_LINES = 10
"""Maximum number of lines about the damage in a file; further lines are only counted."""


def _check(paths: list[Path]) -> None:
    """Read data sets completely, and print which are undamaged.

    Raises:
        JentmaxError: some are damaged; the message lists the damage.
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
    path: Annotated[Path, typer.Argument(help="Data set, finished or not.")],
    output: Annotated[
        str,
        typer.Argument(help="File to write, in the format of its ending, or folder/ for POSCARs."),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--output-format",
            "--format",
            help="ASE's name of the output's format.",
            show_default="from its name",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the structures of a data set in any ASE format."""
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
            help="Floating-point type of the stored descriptors.",
            show_default="that of the settings, or float32",
        ),
    ] = None,
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Compute the descriptors of the structures in a file."""
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
