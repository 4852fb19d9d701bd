"""The data set file: HDF5 with flat arrays, one row per structure (see docs/file-format.md)."""

from jentmax.dataset._checking import Check as Check
from jentmax.dataset._checking import check_file as check_file
from jentmax.dataset._checking import ranges as ranges
from jentmax.dataset._checking import whole_structures as whole_structures
from jentmax.dataset._reader import Dataset as Dataset
from jentmax.dataset._rows import Rows as Rows
from jentmax.dataset._salvage import whole_structures_of_set as whole_structures_of_set
from jentmax.dataset._schema import Status as Status
from jentmax.dataset._shards import check_sibling as check_sibling
from jentmax.dataset._shards import differences as differences
from jentmax.dataset._shards import n_asked as n_asked
from jentmax.dataset._shards import set_paths as set_paths
from jentmax.dataset._shards import shard_path as shard_path
from jentmax.dataset._shards import shard_paths as shard_paths
from jentmax.dataset._shards import shards_folder as shards_folder
from jentmax.dataset._writer import DatasetWriter as DatasetWriter
