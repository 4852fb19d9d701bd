"""Samplers: one cycle for one structure or many replicas.

A sampler has ``init(potential, key, systems, entropy_weight) -> state`` and ``step(potential, key,
state, progress) -> (state, info)``; ``progress`` goes from 0 to 1 over the cycle. `run` takes many
steps in one compiled loop.
"""

from jentmax.samplers._basin_hopping import BasinHopping as BasinHopping
from jentmax.samplers._descent import Descent as Descent
from jentmax.samplers._fire import Fire as Fire
from jentmax.samplers._langevin import Langevin as Langevin
from jentmax.samplers._run import Cycle as Cycle
from jentmax.samplers._run import default_batch_size as default_batch_size
from jentmax.samplers._run import estimate_memory as estimate_memory
from jentmax.samplers._run import is_out_of_memory as is_out_of_memory
from jentmax.samplers._run import pinned as pinned
from jentmax.samplers._run import run as run
from jentmax.samplers._state import Info as Info
from jentmax.samplers._state import Sampler as Sampler
from jentmax.samplers._state import State as State
from jentmax.samplers._state import fold_in as fold_in
from jentmax.samplers._state import guard_overflow as guard_overflow
from jentmax.samplers._state import normal as normal
from jentmax.samplers._state import replica_keys as replica_keys
