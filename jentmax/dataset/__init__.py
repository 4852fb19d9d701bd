"""The data set file: HDF5 with flat arrays, one row per structure (see docs/file-format.md)."""

from jentmax.dataset._checking import Check as Check
from jentmax.dataset._checking import check_file as check_file
from jentmax.dataset._checking import ranges as ranges
from jentmax.dataset._checking import whole_structures as whole_structures
from jentmax.dataset._reader import Dataset as Dataset
from jentmax.dataset._rows import Rows as Rows
from jentmax.dataset._writer import DatasetWriter as DatasetWriter
