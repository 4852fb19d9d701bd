"""What sets of structures cover, and how they compare.

Numbers come from plain arrays, file by file; `evaluate` puts them side by side, and
`write_evaluation` writes them down.
"""

from jentmax.evaluation._coverage import Coverage, Decompositions, coverage, sizes
from jentmax.evaluation._evaluate import Evaluation, evaluate
from jentmax.evaluation._higher import Higher
from jentmax.evaluation._kernels import Kernels
from jentmax.evaluation._measures import silverman_bandwidth
from jentmax.evaluation._sets import EnvironmentSet, open_sets
from jentmax.evaluation._tables import Table, as_csv, as_markdown, tables
from jentmax.evaluation._write import refuse_folder, write_evaluation

__all__ = [
    "Coverage",
    "Decompositions",
    "EnvironmentSet",
    "Evaluation",
    "Higher",
    "Kernels",
    "Table",
    "as_csv",
    "as_markdown",
    "coverage",
    "evaluate",
    "open_sets",
    "refuse_folder",
    "silverman_bandwidth",
    "sizes",
    "tables",
    "write_evaluation",
]
