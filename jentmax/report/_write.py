"""Write an evaluation as a folder: report.html, tables, figures, and all numbers behind them."""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jentmax.dataset import reason, through_links, writing
from jentmax.devices import versions
from jentmax.errors import JentmaxError
from jentmax.evaluation import plain_descriptor
from jentmax.report._evaluation_figures import calls_that_draw
from jentmax.report._html import Exemplar, Picture, Section, TextTable, write_report
from jentmax.report._store import store
from jentmax.report._style import as_png, as_svg, set_colors, write_figure
from jentmax.report._tables import Table, as_csv, as_markdown, tables

if TYPE_CHECKING:
    from jentmax.evaluation import Evaluation

_FILES = ("evaluation.h5", "report.html", "tables.csv", "tables.md", "figures")


def refuse_folder(path: Path, overwrite: bool) -> None:
    """Raise a JentmaxError if an evaluation must not, or cannot, be written to this folder.

    Args:
        path: path of the folder.
        overwrite: whether to replace an earlier evaluation; other folders are never replaced.
    """
    target = through_links(path)
    if path.is_dir():
        if not overwrite:
            raise JentmaxError(
                f"{path} exists; give another folder, or allow to replace an earlier evaluation "
                "there (--overwrite)"
            )
        found = set(os.listdir(path))
        foreign = sorted(found - set(_FILES) if "evaluation.h5" in found else found)
        if foreign:
            raise JentmaxError(
                f"{path} contains {foreign[0]}, which is not part of an evaluation; give another "
                "folder"
            )
    elif path.exists():
        raise JentmaxError(f"{path} is not a folder; give the path of a new folder")
    parent = target.parent
    if not parent.is_dir():
        raise JentmaxError(f"{path} cannot be written: there is no folder {parent}; create it")
    with writing(path):
        _scratch(target).rmdir()


def write_evaluation(
    evaluation: Evaluation,
    folder: str | os.PathLike[str],
    overwrite: bool = False,
    callback: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> Path:
    """Write an evaluation: report.html, tables.csv, tables.md, figures/, evaluation.h5.

    The folder appears only when it is complete. If a figure cannot be drawn, there is a warning and
    the rest is written.

    Args:
        evaluation: the evaluation.
        folder: path of the new folder.
        overwrite: whether to replace an earlier evaluation.
        callback: called with a phase, the finished and the total amount of work of the phase.

    Returns:
        The path of the folder.

    Raises:
        JentmaxError: the folder exists or cannot be written.
    """
    path = Path(folder)
    refuse_folder(path, overwrite)
    target = through_links(path)
    with writing(path):
        scratch = _scratch(target)
        try:
            _fill(scratch, evaluation, callback)
            if path.is_dir():
                refuse_folder(path, overwrite)
                shutil.rmtree(target)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return path


def _scratch(path: Path) -> Path:
    """A new temporary folder next to the path."""
    folder = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    folder.mkdir()
    return folder


def _fill(folder: Path, evaluation: Evaluation, callback: Callable[[str, int, int], None]) -> None:
    callback("tables and figures", 0, 1)
    all_tables = tables(evaluation)
    (folder / "tables.csv").write_text(as_csv(all_tables), encoding="utf-8")
    (folder / "tables.md").write_text(as_markdown(all_tables), encoding="utf-8")
    store(evaluation, folder / "evaluation.h5")
    calls = calls_that_draw(evaluation)
    pictures = {}
    for done, (name, draw) in enumerate(calls.items()):
        callback("tables and figures", done, len(calls))
        try:
            drawn = [(one, (as_png(one.figure, 300), as_svg(one.figure))) for one in draw()]
        except Exception as error:  # of matplotlib or its files: it must not cost the numbers
            warnings.warn(f"the figure {name} was not drawn: {reason(error)}", stacklevel=2)
            continue
        for drawing, contents in drawn:
            files = write_figure(contents, folder / "figures", drawing.stem)
            inches = drawing.figure.get_figwidth()
            pictures[drawing.stem] = Picture(drawing.caption, *files, inches)
    write_report(
        folder / "report.html",
        "Diversity and coverage of the sets",
        _facts(evaluation),
        _sections(evaluation, all_tables, pictures),
    )
    callback("tables and figures", len(calls), len(calls))


def _facts(evaluation: Evaluation) -> dict[str, str]:
    how, twojmax = evaluation.decompositions, getattr(evaluation.descriptor, "twojmax", None)
    kind = plain_descriptor(evaluation.descriptor)["kind"]
    return {
        "sets": ", ".join(f"{one.name} ({one.path})" for one in evaluation.sets),
        "descriptor": f"{kind}, {len(evaluation.labels)} components"
        + ("" if twojmax is None else f" of twojmax = {twojmax}")
        + f", cutoff {evaluation.cutoff:g} Å",
        "scaling": f"{evaluation.scaling}, by {evaluation.reference}",
        "decompositions": f"{how.number}, {how.train} training and {how.test} test environments, "
        f"by {how.by}, seed {how.seed}",
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC with "
        + ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def _sections(
    evaluation: Evaluation, all_tables: Sequence[Table], pictures: Mapping[str, Picture]
) -> list[Section]:
    by_name = {table.name: table for table in all_tables}
    groups = [table.name for table in all_tables if table.name.startswith("groups of ")]
    group_stems = [stem for stem in pictures if stem.startswith("groups-")]
    contents = {
        "Sets": (["sets"], ["structures", "radial"]),
        "Coverage": (["coverage"], ["distances", "map"]),
        "Groups with the worst coverage": (groups, group_stems),
        "Information measures": (["measures", "overlap"], []),
        "Descriptors": ([], ["descriptors"]),
        "Further components": (
            ["correlation"],
            ["correlations", "further-descriptors"],
        ),
    }
    sections = [
        Section(
            heading,
            tables=[_for_report(by_name[name]) for name in names if name in by_name],
            figures=[pictures[stem] for stem in stems if stem in pictures],
        )
        for heading, (names, stems) in contents.items()
    ]
    sections = [one for one in sections if one.tables or one.figures]
    colors = set_colors(evaluation.names)
    view = [
        Exemplar(one.name, _title(one.structures.groups[k], k), atoms, colors[one.name])
        for one in evaluation.sets
        for k, atoms in zip(evaluation.exemplars[one.name], evaluation.atoms(one.name), strict=True)
    ]
    sheet = [pictures["exemplars"]] if "exemplars" in pictures else []
    return [*sections, Section("Structures", figures=sheet, structures=view)]


def _title(group: str, number: int) -> str:
    return f"{group}, structure {number}" if group else f"structure {number}"


def _for_report(table: Table) -> TextTable:
    header, rows = table.display()
    return TextTable(table.caption, header, rows, table.n_keys)
