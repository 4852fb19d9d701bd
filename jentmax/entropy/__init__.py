"""Entropy estimators: scaled features ``(n_atoms, n_features)`` -> nats."""

from jentmax.entropy._gaussian import Gaussian as Gaussian
from jentmax.entropy._kernel_density import KernelDensity as KernelDensity
from jentmax.entropy._kth_nearest_neighbor import KthNearestNeighbor as KthNearestNeighbor
from jentmax.entropy._nearest_neighbor import NearestNeighbor as NearestNeighbor
from jentmax.entropy._soft_nearest_neighbor import SoftNearestNeighbor as SoftNearestNeighbor
from jentmax.entropy._vendi import Vendi as Vendi
