import jax

import jentmax as jm

snap = jm.Snap(cutoff=4.0, components=6)

potential = jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor())
system = jm.System.random(jax.random.key(0), "W39", density=0.03)
forces = -jax.grad(potential.energy)(system.positions, system.cell, entropy_weight=300.0)
