"""User callables for one structure: tested once, then mapped over replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments

_N_ATOMS, _N_NEIGHBORS = 12, 7

_ROUNDING = 1e-3
"""Largest relative difference that float32 rounding explains."""


class OneStructure(eqx.Module):
    """A callable for one structure, mapped over replicas, the last axis.

    Attributes:
        function: the callable.
        cutoff: in Å; None if it takes no environments.
        n_features: number of features it returns; 0 if it returns a scalar.
        uses_elements: whether it reads atomic numbers.
    """

    function: Callable[[Any], Array]
    cutoff: float | None = eqx.field(static=True, default=None)
    n_features: int = eqx.field(static=True, default=0)
    uses_elements: bool = eqx.field(static=True, default=False)

    batched: ClassVar[bool] = True

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that it supports; empty if it supports all."""
        return tuple(getattr(self.function, "elements", ()))

    @property
    def labels(self) -> list[tuple[int, ...]]:
        """Numbers of the features, from 1."""
        return [(number,) for number in range(1, self.n_features + 1)]

    def __call__(self, given: Any) -> Array:
        """The callable's result for the environments or features of every replica."""
        arrays = given.mask if isinstance(given, Environments) else given
        function, ndim = self.function, arrays.ndim - 2
        for _ in range(ndim):
            function = jax.vmap(function, in_axes=-1, out_axes=-1)
        return function(given)

    def to_plain(self) -> Any:
        """The callable as plain data, for files."""
        from jentmax.fields import to_plain

        return to_plain(self.function)


class _Hashable:
    """Wraps an unhashable callable; ``jit`` compiles a program for each wrapper."""

    def __init__(self, function: Callable[[Any], Array]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, given: Any) -> Array:
        return self.function(given)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(getattr(self.function, "elements", ()))

    def to_plain(self) -> Any:
        from jentmax.fields import to_plain

        return to_plain(self.function)


def _with_hash(given: Any) -> Any:
    """The callable, wrapped if ``jit`` cannot hash it; ``jit`` compares pytrees by their leaves."""
    if [leaf is given for leaf in jax.tree.leaves(given)] != [True]:
        return given
    try:
        hash(given)
    except TypeError:
        return _Hashable(given)
    return given


def cutoff_of(component: Any) -> float | None:
    """Distance up to which a component needs neighbours, in Å; None if it does not say."""
    found: Any = getattr(component, "largest_cutoff", getattr(component, "cutoff", None))
    is_scalar = getattr(found, "shape", None) == () and not _is_traced(found)
    return float(np.asarray(found)) if is_scalar else found


def as_descriptor(given: Any, cutoff: float | None) -> Any:
    """A descriptor (environments -> features) from a component or a callable.

    Args:
        given: a descriptor of the package, or a callable for one structure.
        cutoff: cutoff for a plain function, in Å.

    Raises:
        JentmaxError: it is not callable, has no cutoff, or fails its test.
    """
    if _is_ready("descriptor", given):
        return given
    cutoff, name = _cutoff("descriptor", given, cutoff), _name("descriptor", given)
    given = _with_hash(given)
    features, uses_elements = _test_on_environments(name, given, cutoff, features=True)
    return OneStructure(given, cutoff, features.shape[1], uses_elements)


def as_repulsion(given: Any, cutoff: float | None) -> Any:
    """A repulsion (environments -> eV); arguments and errors as for `as_descriptor`."""
    if _is_ready("repulsion", given):
        return given
    cutoff, name = _cutoff("repulsion", given, cutoff), _name("repulsion", given)
    given = _with_hash(given)
    _, uses_elements = _test_on_environments(name, given, cutoff, features=False)
    return OneStructure(given, cutoff, uses_elements=uses_elements)


def as_entropy(given: Any, n_features: int) -> Any:
    """An entropy (scaled features -> nats); errors as for `as_descriptor`."""
    if _is_ready("entropy", given):
        return given
    name, shape = _name("entropy", given), (_N_ATOMS, n_features)
    given = _with_hash(given)
    if _is_traced(given):
        return OneStructure(given)
    features = np.random.default_rng(0).normal(size=shape)
    for what, values in (("", features), ("equal ", np.full(shape, 0.5))):
        called = f"{name}, called with {what}scaled features of shape {shape},"
        value, _ = _value_and_slope(called, given, jnp.asarray(values), "a number, shape ()", ())
        if not what:
            turned = _or_error(called, eqx.filter_jit(given), jnp.asarray(values[::-1]))
            _refuse_different(called, value, turned, "depends on the order of the atoms")
    _test_with_replicas(name, given, jnp.asarray(features))
    return OneStructure(given)


def _is_ready(role: str, given: Any) -> bool:
    if not callable(given):
        raise JentmaxError(
            f"{role} = {given!r} is not callable; give a function or an object with __call__"
        )
    if isinstance(given, type):
        raise JentmaxError(
            f"{role} = {given.__name__} is a class; give an instance, such as {given.__name__}()"
        )
    batched = bool(getattr(given, "batched", False))
    if batched and (role == "entropy") != (cutoff_of(given) is None):
        raise JentmaxError(
            f"{_name(role, given)} is in the wrong place; give descriptor, repulsion, entropy in "
            "this order"
        )
    return batched


def _is_traced(given: Any) -> bool:
    """Whether a callable holds traced numbers and so cannot be evaluated."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(given))


def _name(role: str, given: Any) -> str:
    return f"{role} = {getattr(given, '__name__', type(given).__name__)}"


def _cutoff(role: str, given: Any, cutoff: float | None) -> float:
    found = cutoff_of(given)
    found = cutoff if found is None else found
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < np.inf:
        raise JentmaxError(
            f"{_name(role, given)} takes environments, but its cutoff is {found}; pass "
            "Potential(..., cutoff=) in Å, or set the object's attribute cutoff to a number "
            "(the order of the parts is descriptor, repulsion, entropy)"
        )
    return float(found)


def _environments(cutoff: float, elements: tuple[str, ...]) -> Environments:
    """Random neighbours at all distances up to the cutoff; each atom has two padding entries."""
    from ase.data import atomic_numbers

    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, _N_ATOMS, _N_NEIGHBORS))
    directions /= np.linalg.norm(directions, axis=0)
    mask = np.broadcast_to(np.arange(_N_NEIGHBORS) < _N_NEIGHBORS - 2, directions.shape[1:])
    corner = np.array([cutoff, 0, 0]).reshape(3, 1, 1)
    distances = cutoff * rng.uniform(0.5, 1, mask.shape)
    known = np.array([atomic_numbers[symbol] for symbol in elements or ("W",)])
    return Environments(
        displacements=jnp.asarray(np.where(mask, distances * directions, corner)),
        mask=jnp.asarray(mask),
        numbers=jnp.asarray(known[np.arange(_N_ATOMS) % len(known)], jnp.int32),
        neighbor_numbers=jnp.asarray(rng.choice(known, mask.shape), jnp.int32),
    )


def _reordered(
    environments: Environments, atoms: np.ndarray, neighbors: np.ndarray
) -> Environments:
    return Environments(
        displacements=environments.displacements[:, atoms][:, :, neighbors],
        mask=environments.mask[atoms][:, neighbors],
        numbers=environments.numbers[atoms],
        neighbor_numbers=environments.neighbor_numbers[atoms][:, neighbors],
    )


def _padded(environments: Environments, cutoff: float) -> Environments:
    """The same environments with two more padding entries."""

    def more(array: Array, value: float | bool) -> Array:
        return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, 2)], constant_values=value)

    displacements = more(environments.displacements, 0.0).at[0, :, _N_NEIGHBORS:].set(cutoff)
    return Environments(
        displacements,
        more(environments.mask, False),
        environments.numbers,
        more(environments.neighbor_numbers, 0),
    )


def _test_on_environments(
    name: str, function: Any, cutoff: float, features: bool
) -> tuple[Any, bool]:
    """The function's value (or its shape), and whether the function reads atomic numbers.

    Raises:
        JentmaxError: the function breaks the contract of a descriptor or a repulsion.
    """
    called = f"{name}, called with environments of {_N_ATOMS} atoms and {_N_NEIGHBORS} neighbours,"
    given = _environments(cutoff, tuple(getattr(function, "elements", ())))
    if _is_traced(function):
        shape = _or_error(called, jax.eval_shape, function, given)
        return shape, _reads_numbers(function, given)
    shape, expected = ((), "an energy, shape ()")
    if features:
        shape, expected = None, f"features, shape (n_atoms, n_features) = ({_N_ATOMS}, ...)"
    value, slope = _value_and_slope(called, function, given, expected, shape)
    padded = _padded(given, cutoff)
    more, more_slope = _value_and_slope(called, function, padded, expected, shape)
    padding = "depends on padding, where environments.mask is false; exclude these entries with "
    padding += "jnp.where(environments.mask, ..., 0)"
    _refuse_different(called, value, more, padding)
    _refuse_different(called, slope, more_slope[:, :, :_N_NEIGHBORS], padding)
    for own, mask in ((slope, given.mask), (more_slope, padded.mask)):
        if np.any(np.asarray(own)[:, ~np.asarray(mask)]):
            raise JentmaxError(f"{called} {padding}")
    atoms, neighbors = np.arange(_N_ATOMS)[::-1], np.arange(_N_NEIGHBORS)[::-1]
    turned = _or_error(called, eqx.filter_jit(function), _reordered(given, atoms, neighbors))
    _refuse_different(
        called,
        value[atoms] if features else value,
        turned,
        "depends on the order of the atoms or of their neighbours",
    )
    _test_with_replicas(name, function, given)
    return value, _reads_numbers(function, given)


def _reads_numbers(function: Any, given: Environments) -> bool:
    """Whether a function's result depends on atomic numbers."""

    def of_numbers(numbers: Array, neighbor_numbers: Array) -> Array:
        return function(Environments(given.displacements, given.mask, numbers, neighbor_numbers))

    traced = jax.make_jaxpr(of_numbers)(given.numbers, given.neighbor_numbers).jaxpr
    used = {id(one) for equation in traced.eqns for one in equation.invars}
    return any(id(one) in used for one in traced.invars)


def _value_and_slope(
    called: str, function: Any, given: Any, expected: str, shape: tuple[int, ...] | None
) -> tuple[Array, Array]:
    """Value, and gradient of the sum of the value; both finite.

    Args:
        called: first words of error messages.
        function: the callable.
        given: features or environments.
        expected: the expected shape, in words.
        shape: shape of the value; None for features.
    """
    found = _or_error(called, jax.eval_shape, function, given)
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise JentmaxError(f"{called} returned {type(found).__name__}; return {expected}")
    right = found.shape == shape
    if shape is None:
        right = len(found.shape) == 2 and found.shape[0] == _N_ATOMS and found.shape[1] > 0
    if not right or not jnp.issubdtype(found.dtype, jnp.floating):
        raise JentmaxError(
            f"{called} returned {found.dtype} of shape {found.shape}; return {expected}, of "
            "floating-point type"
        )

    @jax.jit
    def both(values: Array) -> tuple[Array, Array]:
        def total(values: Array) -> tuple[Array, Array]:
            here = values
            if isinstance(given, Environments):
                here = eqx.tree_at(lambda e: e.displacements, given, values)
            result = function(here)
            return jnp.sum(result), result

        (_, result), slope = jax.value_and_grad(total, has_aux=True)(values)
        return result, slope

    start = given.displacements if isinstance(given, Environments) else given
    value, slope = _or_error(called, both, start)
    for what, array in (("value", value), ("gradient", slope)):
        if not np.all(np.isfinite(np.asarray(array))):
            raise JentmaxError(
                f"{called} has a {what} that is not finite; keep the arguments of roots and "
                "logarithms above 0"
            )
    return value, slope


def _refuse_different(called: str, one: Array, other: Array, why: str) -> None:
    a, b = np.asarray(one, float), np.asarray(other, float)
    if a.shape != b.shape or np.any(np.abs(a - b) > _ROUNDING * (1 + np.abs(a))):
        raise JentmaxError(f"{called} {why}")


def _test_with_replicas(name: str, function: Any, given: Any) -> None:
    """Raise an error if the function does not work under ``jax.vmap``."""
    both = jax.tree.map(lambda array: jnp.stack([array, array], axis=-1), given)
    mapped = jax.vmap(function, in_axes=-1, out_axes=-1)
    _or_error(f"{name}, mapped over structures with jax.vmap,", jax.eval_shape, mapped, both)


def _or_error(called: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JentmaxError(f"{called} raised {type(error).__name__}: {first}") from error
