import equinox as eqx
import jax
import jax.numpy as jnp
from own_entropy import k4, k5, mine, systems

import jentmax as jm

sampler, n = jm.Langevin(timestep=1.0), 100
state, step = sampler.init(mine, k4, systems, entropy_weight=300.0), eqx.filter_jit(sampler.step)
for i in range(n):
    state, info = step(mine, jax.random.fold_in(k5, i), state, progress=jnp.asarray((i + 1) / n))
