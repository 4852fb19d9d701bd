"""The tables of an evaluation."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from jentmax.evaluation import STATISTICS, standard_error

if TYPE_CHECKING:
    from jentmax.evaluation import Evaluation

Cell = str | int | float

_ERROR = " s.e."
"""Ending of the names of columns with the standard error of the previous column."""


_UNDEFINED = "–"
"""Stands for a number that is not defined."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of unrounded numbers.

    Attributes:
        name: name of the table, also for programs.
        caption: meaning and units of the numbers.
        header: names of the columns; "x s.e." has the standard error of x, the previous column.
        rows: rows with one cell per column.
        n_keys: number of columns at the left that identify the row.
        undefined: the reason for numbers that are not defined, for the caption.
        details: columns to leave out in a terminal.
        brief_rows: number of rows to show in a terminal; None for all.
    """

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_keys: int
    undefined: str = ""
    details: tuple[str, ...] = ()
    brief_rows: int | None = None

    def __post_init__(self) -> None:
        """Say in the caption why some numbers are missing."""
        if any(self._is_missing(row, k) for row in self.rows for k in range(len(row))):
            why = f": {self.undefined}" if self.undefined else ""
            caption = f"{self.caption} {_UNDEFINED} stands for a number that is not defined{why}."
            object.__setattr__(self, "caption", caption)

    def _is_missing(self, row: tuple[Cell, ...], column: int) -> bool:
        """Whether a number, not a standard error, is not defined."""
        return not _is_defined(row[column]) and not self.header[column].endswith(_ERROR)

    def display(self, brief: bool = False) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text, with standard errors next to their numbers.

        Args:
            brief: leave out standard errors and ``details``, and limit rows to ``brief_rows``.
        """
        out = self.details if brief else ()
        shown = [
            k for k, name in enumerate(self.header) if name not in out and not name.endswith(_ERROR)
        ]
        rows = []
        for row in self.rows[: self.brief_rows if brief else None]:
            cells = []
            for k in shown:
                text = _with_error(row[k], row[k + 1]) if self.has_error(k) else _digits(row[k])
                cells.append(text.partition(" ± ")[0] if brief else text)
            rows.append(cells)
        return [self.header[k] for k in shown], rows

    def has_error(self, column: int) -> bool:
        """Whether the next column has the standard error of this one."""
        return self.header[column + 1 : column + 2] == (self.header[column] + _ERROR,)


def tables(evaluation: Evaluation) -> list[Table]:
    """All tables of an evaluation."""
    return [
        _sets(evaluation),
        _coverage(evaluation),
        *_groups(evaluation),
        _measures(evaluation),
        _overlap(evaluation),
        *_correlations(evaluation),
    ]


def as_markdown(all_tables: Iterable[Table]) -> str:
    """Tables as a Markdown page."""
    lines: list[str] = []
    for table in all_tables:
        header, rows = table.display()
        escaped = [[_escaped(cell) for cell in row] for row in [header, *rows]]
        marks = ["---" if k < table.n_keys else "---:" for k in range(len(header))]
        name = _escaped(table.name)
        lines += [f"## {name[:1].upper()}{name[1:]}", "", _escaped(table.caption), ""]
        lines += [f"| {' | '.join(row)} |" for row in [escaped[0], marks, *escaped[1:]]] + [""]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Text for Markdown, where | ends a column and <...> is HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_csv(all_tables: Iterable[Table]) -> str:
    """Tables as CSV: one number per line, with its table, row and column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value", "standard error"])
    for table in all_tables:
        for row in table.rows:
            key = " -> ".join(map(str, row[: table.n_keys]))
            for k, name in enumerate(table.header):
                if k >= table.n_keys and not name.endswith(_ERROR):
                    error = row[k + 1] if table.has_error(k) else ""
                    value, error = (
                        cell if _is_defined(cell) else missing
                        for cell, missing in ((row[k], "not defined"), (error, ""))
                    )
                    writer.writerow([table.name, key, name, value, error])
    return out.getvalue()


def _is_defined(cell: Cell) -> bool:
    return isinstance(cell, str) or bool(np.isfinite(cell))


def _with_error(value: Cell, error: Cell) -> str:
    """A number, rounded according to its standard error, and the error."""
    value, error = float(value), float(error)
    if not np.isfinite(error) or error < 1e-12:  # only rounding
        return _digits(value)
    decimals = max(0, -math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _digits(value: Cell) -> str:
    """A number rounded for display."""
    if isinstance(value, str | int | np.integer):
        return f"{value}"
    if not np.isfinite(value):
        return _UNDEFINED
    if value == 0 or not 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    return f"{value:#.4g}".rstrip(".")


def _sets(evaluation: Evaluation) -> Table:
    rows = []
    for one in evaluation.sets:
        least, density = one.least_distances, one.densities
        rows.append(
            (
                one.name,
                one.path,
                len(one.structures),
                len(one.description.features),
                one.n_isolated,
                int(one.structures.duplicate.sum()) + one.n_dropped,
                _least(least),
                _least(density),
                _largest(density),
            )
        )
    dropped = any(one.n_dropped for one in evaluation.sets)
    return Table(
        "sets",
        "The evaluated sets. Isolated environments have no neighbour within "
        f"{evaluation.cutoff:g} Å. Repeated structures equal an earlier one of their file and "
        f"were {'left out' if dropped else 'kept'}. Distances in Å, densities in atoms/Å^3.",
        (
            "set",
            "file",
            "structures",
            "environments",
            "isolated",
            "repeated",
            "least distance",
            "least density",
            "largest density",
        ),
        tuple(rows),
        1,
        undefined="no two atoms are that near, or no structure is periodic in all directions",
        details=("file", "least density", "largest density"),
    )


def _coverage(evaluation: Evaluation) -> Table:
    how, found = evaluation.decompositions, evaluation.coverage
    means, errors = found.mean(), found.standard_error()
    novel, novel_error = found.novel.mean(axis=0), standard_error(found.novel)
    header = ["train", "test"]
    for statistic in (*STATISTICS, "novel"):
        header += [statistic, statistic + _ERROR]
    rows = []
    for i, train in enumerate(evaluation.names):
        for j, test in enumerate(evaluation.names):
            numbers: list[Cell] = [train, test]
            for mean, error in zip(means[i, j], errors[i, j], strict=True):
                numbers += [float(mean), float(error)]
            rows.append((*numbers, float(novel[i, j]), float(novel_error[i, j])))
    whole = " of other structures" if how.by == "structure" else ""
    return Table(
        "coverage",
        f"Distance of {how.test} test environments to the nearest of {how.train} training "
        f"environments{whole}, averaged over {how.number} random decompositions, in "
        f"{evaluation.unit}. Novel: fraction of the test environments farther than 99 % "
        f"of the training set's own test environments.{_shared(evaluation)}",
        tuple(header),
        tuple(rows),
        2,
    )


def _shared(evaluation: Evaluation) -> str:
    """Which sets have structures of others, in words."""
    names, sets = evaluation.names, evaluation.sets
    notes = [
        f"{train} has {evaluation.shared[i, j]} of {len(sets[j].structures)} structures of {test}"
        for i, train in enumerate(names)
        for j, test in enumerate(names)
        if i != j and evaluation.shared[i, j]
    ]
    return f" Note that {'; '.join(notes)}, whose distances are 0." if notes else ""


def _groups(evaluation: Evaluation) -> list[Table]:
    """One table for every set with several groups, with the worst coverage first."""
    result = []
    for one in evaluation.sets:
        groups, means = evaluation.group_coverage(one.name)
        if len(groups) < 2:
            continue
        first = next((name for name in means if name != one.name), one.name)
        sizes = evaluation.group_sizes(one.name)
        rows = [
            (group or "(none)", int(sizes[k]), *(float(mean[k]) for mean in means.values()))
            for k, group in enumerate(groups)
        ]
        order = np.argsort(-np.nan_to_num(means[first], nan=-1.0), kind="stable")
        result.append(
            Table(
                f"groups of {one.name}",
                f"Mean distance of the environments of {one.name} to the nearest training "
                f"environment, by config_type and training set, sorted by the distance to {first}, "
                f"largest first. In {evaluation.unit}.",
                ("group", "environments", *evaluation.names),
                tuple(rows[k] for k in order),
                1,
                undefined="none of the group's environments was drawn",
                brief_rows=6,
            )
        )
    return result


def _measures(evaluation: Evaluation) -> Table:
    kernels, rows = evaluation.kernels, []
    for k, name in enumerate(evaluation.names):
        entropies = evaluation.entropies[name]
        entropies = entropies[np.isfinite(entropies)]
        several = len(entropies) > 1
        rows.append(
            (
                name,
                _mean(entropies),
                float(standard_error(entropies)) if several else np.nan,
                float(entropies.std(ddof=1)) if several else np.nan,
                _median(entropies),
                float(kernels.entropy[k]),
                float(evaluation.log_determinant[k]),
                float(kernels.vendi_score[k]),
            )
        )
    return Table(
        "measures",
        "Diversity of each set. S: entropy of the environments of a structure "
        "(doi:10.1063/5.0013059, Eq. 2), over structures with at least two atoms, in nats. "
        f"Kernel entropy (QUESTS, doi:10.1038/s41467-025-59232-0): of {kernels.n_environments} "
        f"environments, at most {np.log(kernels.n_environments):.2f} nats. "
        "Log-determinant: of the covariance, in nats. Vendi score (arXiv:2210.02410): effective "
        f"number of different ones among {kernels.n_vendi} environments. Kernels are Gaussian with "
        f"bandwidth {kernels.bandwidth:.2f}; features in {evaluation.unit}.",
        (
            "set",
            "S",
            "S" + _ERROR,
            "S std",
            "S median",
            "kernel entropy",
            "log-determinant",
            "Vendi score",
        ),
        tuple(rows),
        1,
        undefined="S needs a structure of two atoms or more, and its spread two such structures",
    )


def _overlap(evaluation: Evaluation) -> Table:
    names, kernels = evaluation.names, evaluation.kernels
    return Table(
        "overlap",
        "Coverage of a test set by a training set, as in QUESTS (doi:10.1038/s41467-025-59232-0): "
        "mean differential entropy of the test environments, in nats, and the fraction with at "
        "most 0, that is, those that the training set contains. "
        f"{kernels.n_environments} training and {kernels.n_environments} other test environments "
        "of each set.",
        ("train", "test", "delta entropy", "overlap"),
        tuple(
            (
                names[i],
                names[j],
                float(kernels.delta_entropy[i, j]),
                float(kernels.overlap[i, j]),
            )
            for i in range(len(names))
            for j in range(len(names))
        ),
        2,
    )


def _correlations(evaluation: Evaluation) -> list[Table]:
    higher = evaluation.higher
    if higher is None:
        return []
    correlation = [higher.correlation[name] for name in evaluation.names]
    first = len(evaluation.labels)
    return [
        Table(
            "correlation",
            f"Multiple correlation of each of {len(higher.labels)} further components, up to "
            f"twojmax = {higher.twojmax}, with the first {first}: "
            "how well the components of the descriptor predict the omitted ones linearly.",
            ("set", "mean", "least", "median", "largest"),
            tuple(
                (name, *(f(values) for f in (_mean, _least, _median, _largest)))
                for name, values in zip(evaluation.names, correlation, strict=True)
            ),
            1,
            undefined="no further component differs between the set's environments",
        ),
        Table(
            "correlation by component",
            "The same for each component, named by 2 j1, 2 j2 and 2 j.",
            ("component", *evaluation.names),
            tuple(
                (label, *(float(values[k]) for values in correlation))
                for k, label in enumerate(higher.labels)
            ),
            1,
            undefined="the component is the same for all of the set's environments",
            brief_rows=0,
        ),
    ]


def _of_finite(function: Callable[[np.ndarray], float], values: np.ndarray) -> float:
    """Of the finite values alone; nan if there are none."""
    finite = values[np.isfinite(values)]
    return float(function(finite)) if len(finite) else np.nan


_mean, _median, _least, _largest = (
    functools.partial(_of_finite, function) for function in (np.mean, np.median, np.min, np.max)
)
