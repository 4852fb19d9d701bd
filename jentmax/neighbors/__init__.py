"""Neighbours: positions and a cell -> the environments of the atoms.

`neighbor_finder` chooses a finder from the cell size and the number of atoms; all finders give the
same environments.
"""

from jentmax.neighbors._all_pairs import AllPairs as AllPairs
from jentmax.neighbors._choose import neighbor_finder as neighbor_finder
from jentmax.neighbors._environments import Environments as Environments
from jentmax.neighbors._environments import Finder as Finder
from jentmax.neighbors._environments import Neighbors as Neighbors
from jentmax.neighbors._host import HostSearch as HostSearch
from jentmax.neighbors._host import compact_cells as compact_cells
from jentmax.neighbors._host import host_environments as host_environments
from jentmax.neighbors._host import many_environments as many_environments
from jentmax.neighbors._host import n_images as n_images
from jentmax.neighbors._list import SKIN as SKIN
from jentmax.neighbors._list import NeighborList as NeighborList
