import jentmax as jm

jm.generate(jm.recipe("run.toml"), structures=1000, output="same.h5", seed=0)
