import jax
import jax.numpy as jnp

import jentmax as jm

snap = jm.Snap(cutoff=4.0, components=6)


def spread(q):
    return jnp.linalg.slogdet(jnp.cov(q.T) + 1e-3 * jnp.eye(q.shape[1]))[1] / 2


k1, k2, k3, k4, k5 = jax.random.split(jax.random.key(1), 5)
systems = jm.System.random(k1, "W39", density=0.03, replicas=256)
mine = jm.fit_scale(jm.Potential(snap, jm.ClarkeSmith(), spread), systems, key=k2)
ends, info = jm.run(mine, jm.Langevin(), systems, key=k3, steps=3000, entropy_weight=300.0)
print(ends.to_ase(), info.entropy, info.least_distance)
