"""Bias and spread of every entropy estimator on samples of known entropy, and cost of its force.

Samples of n = 39, 200 and 2000 environments in six dimensions: uniform in a cube, normal, and a
mixture of four normal distributions. Draws docs/images/estimators.png and prints the tables of
docs/estimators.md.

    python scripts/estimator_samples.py [--repeats 20] [--images docs/images]
"""

import argparse
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp

from jentmax import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)

N_FEATURES = 6
SIZES = (39, 200, 2000)
REPLICAS = 32

# These estimate the differential entropy of the distribution.
DIFFERENTIAL = {
    "k-th nearest neighbour, k = 1": KthNearestNeighbor(1),
    "k-th nearest neighbour, k = 4": KthNearestNeighbor(4),
    "kernel density, silverman": KernelDensity("silverman"),
    "kernel density, adaptive": KernelDensity("adaptive"),
    "Gaussian": Gaussian(),
}
# These have a different scale.
OTHERS = {
    "nearest neighbour (Eq. 2)": NearestNeighbor(),
    "soft nearest neighbour, width 0.1": SoftNearestNeighbor(),
    "kernel density, quests, h = 1": KernelDensity(1.0, "quests"),
    "Vendi, order 1, h = 1": Vendi(),
    "Vendi, order 2, h = 1": Vendi(2.0),
}


def uniform(rng: np.random.Generator, n: int) -> np.ndarray:
    """Samples with variance 1 in each dimension."""
    return rng.uniform(-math.sqrt(3), math.sqrt(3), (n, N_FEATURES))


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, N_FEATURES))


CENTRES = 2 * np.eye(4, N_FEATURES)
WIDTH = 0.5


def mixture(rng: np.random.Generator, n: int) -> np.ndarray:
    return CENTRES[rng.integers(len(CENTRES), size=n)] + WIDTH * normal(rng, n)


def mixture_entropy() -> float:
    """Entropy from the average of -ln p over a million draws, exact to 0.002."""
    points = mixture(np.random.default_rng(99), 1_000_000)
    squared = ((points[:, None] - CENTRES) ** 2).sum(axis=2)
    log_p = logsumexp(-squared / 2 / WIDTH**2, axis=1) - math.log(len(CENTRES))
    return float(N_FEATURES / 2 * math.log(2 * math.pi * WIDTH**2) - log_p.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    exact = {
        "uniform": N_FEATURES * math.log(2 * math.sqrt(3)),
        "normal": N_FEATURES / 2 * math.log(2 * math.pi * math.e),
        "mixture": mixture_entropy(),
    }
    draws = {"uniform": uniform, "normal": normal, "mixture": mixture}
    values = {
        (name, kind, n): estimates(estimator, draw, n, given.repeats)
        for name, estimator in (DIFFERENTIAL | OTHERS).items()
        for kind, draw in draws.items()
        for n in SIZES
    }
    for names, offset in ((DIFFERENTIAL, exact), (OTHERS, dict.fromkeys(exact, 0.0))):
        print(table(names, values, offset))
    print(costs())
    given.images.mkdir(parents=True, exist_ok=True)
    figure(values, exact).savefig(given.images / "estimators.png", dpi=160)


def estimates(estimator, draw, n: int, repeats: int) -> np.ndarray:
    """Number of samples; fewer for the largest size, which has a small spread and takes long."""
    compiled = jax.jit(estimator)
    few = repeats if n < 1000 else max(2, repeats // 5)
    return np.array(
        [float(compiled(jnp.asarray(draw(np.random.default_rng([n, k]), n)))) for k in range(few)]
    )


def table(names, values, offset) -> str:
    """Mean over the samples minus the exact value, and standard deviation."""
    columns = [(kind, n) for kind in offset for n in SIZES]
    heading = ["estimator", *(f"{kind}, n = {n}" for kind, n in columns)]
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    for name in names:
        cells = []
        for kind, n in columns:
            found = values[name, kind, n] - offset[kind]
            cells.append(f"{found.mean():.2f} ± {found.std(ddof=1):.2f}")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def costs() -> str:
    """Time of value and gradient for a structure of 39 and of 200 atoms, in float32."""
    lines = ["| estimator | 39 atoms | 200 atoms |", "|---|---|---|"]
    for name, estimator in (OTHERS | DIFFERENTIAL).items():
        cells = []
        for n in (39, 200):
            features = jnp.asarray(
                np.random.default_rng(0).normal(size=(n, N_FEATURES, REPLICAS)), jnp.float32
            )
            force = jax.jit(jax.grad(lambda q, e=estimator: jnp.sum(e(q))))
            force(features).block_until_ready()
            seconds = []
            for _ in range(30):
                start = time.perf_counter()
                force(features).block_until_ready()
                seconds.append(time.perf_counter() - start)
            cells.append(f"{1e6 * min(seconds) / REPLICAS:.0f} µs")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(values, exact) -> Figure:
    """Bias against n with the samples' spread, a panel for each distribution."""
    drawing = Figure(figsize=(10, 4.2), layout="constrained")
    panels = drawing.subplots(1, len(exact), sharey=True)
    for panel, (kind, entropy) in zip(panels, exact.items(), strict=True):
        panel.axhline(0, color="0.7", linewidth=1)
        for place, name in enumerate(DIFFERENTIAL):
            found = [values[name, kind, n] - entropy for n in SIZES]
            panel.errorbar(
                np.array(SIZES) * 1.06 ** (place - 2),
                [some.mean() for some in found],
                [some.std(ddof=1) for some in found],
                marker="o",
                markersize=4,
                capsize=2,
                linewidth=1,
                label=name,
            )
        panel.set_xscale("log")
        panel.set_xticks(SIZES, [str(n) for n in SIZES])
        panel.minorticks_off()
        panel.set_title(f"{kind}, H = {entropy:.2f} nats", fontsize=10)
        panel.set_xlabel("environments")
    panels[0].set_ylabel("estimate - H (nats)")
    drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return drawing


if __name__ == "__main__":
    main()
