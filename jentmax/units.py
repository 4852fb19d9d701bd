"""Conversions between Å, eV, amu, K and fs."""

from ase import units

BOLTZMANN = units.kB
"""Boltzmann's constant, in eV/K."""

ACCELERATION = units.fs**2
"""Factor from force over mass, in eV/Å/amu, to acceleration, in Å/fs^2."""
