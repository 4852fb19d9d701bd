"""Conversions between Å, eV, amu, K and fs."""

from ase import units

BOLTZMANN = units.kB
"""Boltzmann's constant, in eV/K."""

ACCELERATION = units.fs**2
"""What turns a force (eV/Å) over a mass (amu) into an acceleration, in Å/fs^2."""
