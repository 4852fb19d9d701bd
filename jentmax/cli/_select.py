"""jentmax select."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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


@app.command()
def select(
    path: Annotated[Path, typer.Argument(help="File of candidates that ASE reads, or a data set.")],
    structures: Annotated[int, typer.Option(help="Structures to choose.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="File to write; its ending tells the format. A folder (ending in /) gets POSCARs.",
        ),
    ],
    method: Annotated[
        Literal["farthest-point", "entropy", "random"], typer.Option(help="How to choose.")
    ] = "farthest-point",
    given: Annotated[
        Path | None,
        typer.Option(help="Structures that you have already.", show_default=False),
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
        typer.Option(help="Structures that repeat an earlier one: leave them out, or not."),
    ] = "drop",
    figure: Annotated[
        Path | None,
        typer.Option(help="Drawing of the coverage.", show_default="beside the output, .png"),
    ] = None,
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
) -> None:
    """Choose the structures that cover all others best."""
    cache = prepare(no_cache)
    descriptor = descriptor_for([path], settings, preset, overrides or [], element)

    from jentmax.cli._selection import print_selection
    from jentmax.dataset import refuse_output
    from jentmax.evaluation import select as run
    from jentmax.report import draw_selection, selection_figure

    refuse_output(output, overwrite=overwrite)
    drawing = selection_figure(output, figure, overwrite)
    selection = run(
        path,
        output,
        descriptor,
        structures,
        method,
        given=given,
        seed=seed,
        bandwidth=bandwidth,
        duplicates=duplicates,
        overwrite=overwrite,
        cache=cache,
    )
    print_selection(selection, output, draw_selection(selection, drawing))
