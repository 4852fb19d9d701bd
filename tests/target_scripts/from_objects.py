from own_entropy import mine

import jentmax as jm

recipe = jm.Recipe(
    mine,
    jm.Langevin(),
    start=jm.RandomStart("W39", density=0.03),
    steps=3000,
    entropy_weight=300.0,
)
jm.generate(recipe, structures=1000, output="mine.h5", seed=0)
