"""Entropy estimators: scaled features ``(n_atoms, n_features)`` -> nats."""

from jentmax.entropy._nearest_neighbor import NearestNeighbor as NearestNeighbor
