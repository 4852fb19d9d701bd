"""jentmax evaluate."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from jentmax.cli._app import (
    Element,
    NoCache,
    Overrides,
    Overwrite,
    Preset,
    Quiet,
    SettingsFile,
    app,
    descriptor_for,
    prepare,
)
from jentmax.dataset import printable, refuse_inputs
from jentmax.errors import JentmaxError

_DEFAULT_SIZES = 6000, 3000
"""Training and test environments, as in the paper's Table I (doi:10.1063/5.0013059)."""


class _ManyNames(TyperCommand):
    """A command whose option --names takes all words up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``--names a b`` as ``--names a --names b``, which click understands."""
        words: list[str] = []
        naming = False
        for word in args:
            if word == "--names":
                naming = True
                continue
            naming = naming and not word.startswith("-")
            words += ["--names", word] if naming else [word]
        return super().parse_args(ctx, words)


@app.command(cls=_ManyNames)
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="Data sets, or files that ASE reads.", show_default=False)
    ],
    names: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="Names of the sets, one per file; after the files.",
            show_default="the files' names",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Name of the set whose spread scales the descriptors.",
            show_default="the first",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for tables, figures and report."),
    ] = Path("report"),
    train: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training environments drawn from each set.",
            show_default="6000, or what the smallest set allows",
        ),
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(
            min=1, help="Test environments drawn from each set.", show_default="half as many"
        ),
    ] = None,
    decompositions: Annotated[
        int, typer.Option(min=1, help="Number of random draws of training and test environments.")
    ] = 1000,
    by: Annotated[
        Literal["environment", "structure"],
        typer.Option(help="Draw single environments, or whole structures."),
    ] = "environment",
    scaling: Annotated[
        Literal["standard", "robust"],
        typer.Option(help="Use mean and standard deviation, or median and interquartile range."),
    ] = "standard",
    duplicates: Annotated[
        Literal["keep", "drop"],
        typer.Option(help="Keep or drop structures that repeat an earlier one of their file."),
    ] = "keep",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    format: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help="ASE's name of the files' format; repeat it to give one for each file.",
            show_default="from their content or names",
        ),
    ] = None,
    settings: SettingsFile = None,
    preset: Preset = None,
    element: Element = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    no_cache: NoCache = False,
    quiet: Quiet = False,
) -> None:
    """Measure the diversity of data sets, and how well each covers the others.

    Prints tables and writes a folder with report.html, tables.csv, tables.md,
    figures/ and evaluation.h5. Without settings, the descriptor comes from the
    reference if it is a jentmax data set, else from the first jentmax data set,
    else from the preset tungsten.
    """
    paths = [str(path) for path in files]
    called = _names(paths, names)
    if reference is not None and reference not in called:
        raise JentmaxError(
            f"--reference {reference} is not the name of a set; give one of {', '.join(called)}"
        )
    _refuse_missing(files)
    formats = _formats(paths, format)
    refuse_inputs(output, [*files, settings])
    place = called.index(reference) if reference else 0
    first = [files[place], *files[:place], *files[place + 1 :]]
    cache = prepare(no_cache)
    descriptor = descriptor_for(first, settings, preset, overrides or [], element)

    from jentmax.cli._phases import Phases
    from jentmax.cli._tables import print_tables
    from jentmax.evaluation import Decompositions, open_sets, sizes
    from jentmax.evaluation import evaluate as run
    from jentmax.report import refuse_folder, tables, write_evaluation

    refuse_folder(output, overwrite)
    with Phases(quiet=quiet) as phases:
        sets = open_sets(paths, called, descriptor, duplicates, cache, phases.update, formats)
        counts = {one.name: len(one.description.features) for one in sets}
        compiled = sum(one.description.compilations for one in sets)
        phases.note(
            f"{sum(counts.values())} environments of {sum(len(one.structures) for one in sets)} "
            f"structures described, {compiled} programs compiled"
        )
        whole = ""
        if by == "structure" and train is test is None:
            whole = " in whole structures"  # these rarely add up to the requested number
            for one in sets:
                spare = 2 * int(one.structures.counts.max(initial=0))
                counts[one.name] = min(counts[one.name], max(3, counts[one.name] - spare))
        n_train, n_test = sizes(counts, train, test, _DEFAULT_SIZES)
        if train is test is None and (n_train, n_test) != _DEFAULT_SIZES:
            least = min(counts, key=counts.__getitem__)
            phases.note(
                f"{n_train} training and {n_test} test environments instead of "
                f"{_DEFAULT_SIZES[0]} and {_DEFAULT_SIZES[1]}: "
                f"{least} has {counts[least]}{whole}"
            )
        how = Decompositions(n_train, n_test, decompositions, seed, by)
        evaluation = run(sets, descriptor, how, reference, scaling, phases.update)
        path = write_evaluation(evaluation, output, overwrite, phases.update)
    if not quiet:
        print_tables(tables(evaluation))
        print(f"written to {path}; open {path / 'report.html'}")


def _names(paths: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """A name for each file: the given name, or the file name without its ending.

    Raises:
        JentmaxError: a file is given twice, or names are missing, too many, empty or equal.
    """
    if not paths:
        raise JentmaxError("no data sets to evaluate; give at least one file")
    first: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path)
        if real in first:
            raise JentmaxError(f"{path} is given twice (as {first[real]}); give each set once")
        first[real] = path
    if names is None:
        names = [printable(Path(path).stem) for path in paths]
        advice = "name the sets with --names"
    else:
        advice = "give each set a different name"
        if len(names) != len(paths):
            raise JentmaxError(
                f"--names has {len(names)} names ({', '.join(names)}) for {len(paths)} data sets "
                f"({', '.join(paths)}); give one for each, after the files"
            )
    if not all(name.strip() for name in names):
        raise JentmaxError(f"a set's name is empty; {advice}")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise JentmaxError(f"two sets have the name {repeated[0]}; {advice}")
    return tuple(names)


def _formats(paths: Sequence[str], formats: Sequence[str] | None) -> list[str | None]:
    """A format, or None, for each file."""
    given = list(formats or [None])
    if len(given) not in (1, len(paths)):
        raise JentmaxError(
            f"--format is given {len(given)} times ({', '.join(map(str, given))}) for {len(paths)} "
            "files; give it once for all of them, or once for each"
        )
    return given * (len(paths) if len(given) == 1 else 1)


def _refuse_missing(files: list[Path]) -> None:
    from jentmax.dataset import Parts

    for path in files:
        if not path.exists() and not Parts(path).exists():
            raise JentmaxError(f"{path}: no such file; give one that ASE reads, or a data set")
