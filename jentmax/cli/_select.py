"""jentmax select."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from jentmax.cli._app import (
    Element,
    Format,
    NoCache,
    OutputFormat,
    Overrides,
    Overwrite,
    Preset,
    SettingsFile,
    app,
    descriptor_for,
    notes,
    prepare,
)
from jentmax.errors import JentmaxError


@app.command()
def select(
    path: Annotated[Path, typer.Argument(help="File of candidates that ASE reads, or a data set.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="File to write, in the format of its ending, or folder/ for POSCARs.",
        ),
    ],
    structures: Annotated[
        str | None,
        typer.Option(help="Budget: so many structures, or 5% of them.", show_default=False),
    ] = None,
    atoms: Annotated[
        str | None,
        typer.Option(help="Budget: so many atoms in all, or 5% of them.", show_default=False),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="Budget: the sum of N^p over structures of N atoms, or 5% of it.",
            show_default=False,
        ),
    ] = None,
    cost_exponent: Annotated[
        float | None,
        typer.Option(help="p of the cost N^p.", show_default="3, as for plane waves"),
    ] = None,
    method: Annotated[
        Literal["coverage", "farthest-point", "entropy", "random"],
        typer.Option(help="How to choose."),
    ] = "coverage",
    max_distance: Annotated[
        float | None,
        typer.Option(
            help="Method coverage: no environment may be farther from the chosen ones.",
            show_default=False,
        ),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(help="File of structures that you already have.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random orders.")] = 0,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            help="Kernel width of method entropy, in standard deviations.",
            show_default="Silverman's",
        ),
    ] = None,
    duplicates: Annotated[
        Literal["drop", "keep"],
        typer.Option(help="Drop or keep structures that repeat an earlier one."),
    ] = "drop",
    figure: Annotated[
        Path | None,
        typer.Option(help="Figure of the coverage.", show_default="the output's path and .png"),
    ] = None,
    format: Format = None,
    given_format: Annotated[
        str | None,
        typer.Option(
            help="ASE's name of the format of --given.",
            show_default="from its content or name",
        ),
    ] = None,
    output_format: OutputFormat = None,
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Choose the structures that cover all others best, for a budget.

    Give one budget: --structures, --atoms or --cost.
    DFT takes longer for more atoms: --cost is the fairest, then --atoms.
    """
    from jentmax.dataset import is_dataset, refuse_inputs, refuse_output

    for file in (path, given):
        if file is not None:
            is_dataset(file)  # a missing file is refused before JAX loads
    inputs = [path, given, settings]
    refuse_inputs(output, inputs)
    refuse_output(output, output_format, overwrite=overwrite)
    cache = prepare(no_cache)
    descriptor = descriptor_for([path], settings, preset, overrides or [], element)

    from jentmax.cli._phases import Phases
    from jentmax.cli._selection import print_selection
    from jentmax.evaluation import select as run
    from jentmax.evaluation import sources_path
    from jentmax.report import draw_selection, selection_figure

    drawing = selection_figure(output, figure, overwrite)
    refuse_inputs(drawing, [*inputs, output, sources_path(output)])
    with Phases() as phases, notes():
        selection = run(
            path,
            output,
            descriptor,
            structures,
            method,
            atoms=atoms,
            cost=cost,
            cost_exponent=cost_exponent,
            max_distance=max_distance,
            given=given,
            seed=seed,
            bandwidth=bandwidth,
            duplicates=duplicates,
            format=format,
            given_format=given_format,
            output_format=output_format,
            overwrite=overwrite,
            cache=cache,
            callback=phases.update,
        )
    try:
        draw_selection(selection, drawing)
    except JentmaxError as error:  # the selection is already written
        drawing = None
        warnings.warn(str(error), stacklevel=1)
    print_selection(selection, output, drawing)
