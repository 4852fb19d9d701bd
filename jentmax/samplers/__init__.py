"""Samplers: one cycle of one structure, or of many replicas side by side.

Each has ``init(key, system, entropy_weight) -> state`` and ``step(key, state, progress) -> state``,
``progress`` going from 0 to 1 over the cycle.
"""

from jentmax.samplers._basin_hopping import BasinHopping as BasinHopping
from jentmax.samplers._descent import ADAM as ADAM
from jentmax.samplers._descent import FAST_ADAM as FAST_ADAM
from jentmax.samplers._descent import Descent as Descent
from jentmax.samplers._descent import named_optimizer as named_optimizer
from jentmax.samplers._fire import Fire as Fire
from jentmax.samplers._langevin import Langevin as Langevin
from jentmax.samplers._state import Sampler as Sampler
from jentmax.samplers._state import State as State
from jentmax.samplers._state import run as run
