"""Peak floating-point operations per second of a device, in two kinds of kernels."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from jentmax.devices import compiler_options

DEGREE = 128


def matrix_product(dtype, n: int = 1024, repeats: int = 7) -> float:
    """Operations per second of a product of square matrices."""
    a = jnp.ones((n, n), dtype)
    return 2 * n**3 / _seconds(jnp.matmul, (a, a), repeats)


def fused_elementwise(dtype, n: int = 8192, repeats: int = 7) -> float:
    """Operations per second of one fused kernel: a polynomial of a few numbers in cache."""

    def polynomial(x):
        result = jnp.zeros_like(x)
        for k in range(DEGREE):
            result = result * x + 1 / (k + 1)
        return result

    def often(x):
        return jax.lax.fori_loop(0, 100, lambda _, y: polynomial(y) * 1e-3, x)

    x = jnp.linspace(0, 1, n, dtype=dtype)
    return 100 * (2 * DEGREE + 1) * n / _seconds(often, (x,), repeats)


def _seconds(function, arguments, repeats: int) -> float:
    compiled = jax.jit(function, compiler_options=compiler_options(jax.default_backend()))
    jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))
