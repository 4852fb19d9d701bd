"""Samplers: one cycle of one structure, or of many replicas side by side.

Each has ``init(key, system, entropy_weight) -> state`` and ``step(key, state, progress) -> state``,
``progress`` going from 0 to 1 over the cycle.
"""

from jentmax.samplers._langevin import Langevin as Langevin
from jentmax.samplers._quench import Quench as Quench
from jentmax.samplers._state import Sampler as Sampler
from jentmax.samplers._state import State as State
from jentmax.samplers._state import run as run
