"""Annotated fields: one definition of a component's parameters, for Python and for TOML.

A component is a class (or function) whose annotations give each parameter's type, range and
meaning:

    cutoff: Annotated[float, Gt(0), Doc("Å, ...")] = 4.0

`check` validates values against these annotations. Constructors and the settings reader both call
it, so they reject the same values with the same messages. This module does not import JAX.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import functools
import inspect
import json
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MinLen
from typing_extensions import Doc

from jentmax.errors import JentmaxError

REQUIRED = inspect.Parameter.empty
"""Marks a field without a default."""


class Allowed:
    """Describes the allowed values of a field, with an optional extra test."""

    def __init__(self, text: str, test: Callable[[Any], bool] = lambda value: True) -> None:
        """Store the description and the test."""
        self.text, self.test = text, test


class AsArray:
    """Marks numbers that become arrays; changing them does not recompile a program."""


class Infinite:
    """Marks numbers that may be infinite."""


class Field(NamedTuple):
    """One parameter of a component.

    Attributes:
        annotation: type, range and meaning.
        default: the default value, or `REQUIRED`.
        meaning: unit and meaning in words.
    """

    annotation: Any
    default: Any
    meaning: str

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        return _allowed(self.annotation)

    @property
    def is_array(self) -> bool:
        """Whether the value becomes an array (`AsArray`)."""
        return any(
            isinstance(mark, AsArray) for mark in getattr(self.annotation, "__metadata__", ())
        )


class Frozen(Mapping[str, Any]):
    """An immutable, hashable mapping."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        """Copy a mapping."""
        self._items = dict(items)

    def __getitem__(self, key: str) -> Any:
        """One value."""
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        """The keys in insertion order."""
        return iter(self._items)

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._items)

    def __hash__(self) -> int:
        """Hash of the items; equal mappings have equal hashes."""
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        """The same as for a dict."""
        return repr(self._items)


def _is_ordered(value: Any) -> bool:
    return not isinstance(value, tuple) or value[0] <= value[1]


def _are_elements(value: Any) -> bool:
    from ase.data import chemical_symbols

    return set(value) <= set(chemical_symbols[1:])


Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1)]
PositiveRange = Annotated[
    Positive | tuple[Positive, Positive],
    Allowed("a number above 0, or a range [low, high] with 0 < low <= high", _is_ordered),
]
NotNegativeRange = Annotated[
    NotNegative | tuple[NotNegative, NotNegative],
    Allowed("a number of at least 0, or a range [low, high] with 0 <= low <= high", _is_ordered),
]
PerElement = Annotated[
    Mapping[str, float],
    Allowed("a table of numbers by element, such as { W = 1.0 }", _are_elements),
]
PositivePerElement = Annotated[
    Mapping[str, Positive],
    Allowed("a table of numbers above 0 by element, such as { W = 1.0 }", _are_elements),
]
Elements = Annotated[
    tuple[str, ...],
    Allowed(
        'a list of different element symbols such as ["Ni", "Al"]',
        lambda value: _are_elements(value) and len(set(value)) == len(value),
    ),
]


def fields_of(target: Callable[..., Any]) -> dict[str, Field]:
    """The parameters of a class or a function, by name.

    Args:
        target: a class or a function. The first parameter of a function is its input and is
            left out.

    Raises:
        TypeError: Python cannot read the signature.
    """
    return _fields_of(target)


@functools.cache
def _fields_of(target: Callable[..., Any]) -> dict[str, Field]:
    is_class = inspect.isclass(target)
    parameters = list(
        inspect.signature(target.__init__ if is_class else target).parameters.values()
    )
    hints = _hints(target)
    found = {}
    for parameter in parameters[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = hints.get(parameter.name, Any)
        marks = getattr(annotation, "__metadata__", ())
        meaning = next((mark.documentation for mark in marks if isinstance(mark, Doc)), "")
        found[parameter.name] = Field(annotation, parameter.default, meaning)
    return found


def check(owner: str, target: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check values for the parameters of a component.

    Args:
        owner: name of the component in messages: its class, or its section of a file.
        target: class or function, as for `fields_of`.
        given: values by name.

    Returns:
        The given values, converted to the parameters' types.

    Raises:
        JentmaxError: one line per problem, with the field, its value and what is allowed.
    """
    fields = fields_of(target)
    checked, problems = {}, []
    for name, value in given.items():
        if name not in fields:
            problems.append(unknown(f"{owner}.{name}", value, owner, fields))
            continue
        try:
            checked[name] = coerced(value, fields[name].annotation)
        except ValueError:
            problems.append(not_allowed(f"{owner}.{name}", value, fields[name]))
    for name, field in fields.items():
        if field.default is REQUIRED and name not in given:
            problems.append(f"{owner}.{name} is missing; give {field.allowed}{_meaning(field)}")
    if problems:
        raise JentmaxError("\n".join(problems))
    return checked


def not_allowed(name: str, value: object, field: Field) -> str:
    """The message for a value that a field does not allow."""
    return f"{name} = {shown(value)} is not allowed; give {field.allowed}{_meaning(field)}"


def near_fields(key: str, fields: Mapping[str, Field]) -> list[str]:
    """The field with this name in another program, or with a similar name."""
    same = [name for name, field in fields.items() if f"({key})" in field.meaning]
    return same or difflib.get_close_matches(key.lower(), fields, n=1)


def unknown(name: str, value: object, owner: str, fields: Mapping[str, Field]) -> str:
    """The message for an unknown name; it suggests the closest known name."""
    near = near_fields(name.rpartition(".")[2], fields)
    hint = f"did you mean {near[0]}? " if near else ""
    takes = f"{owner} takes {', '.join(fields)}" if fields else f"{owner} takes no fields"
    return f"{name} = {shown(value)} is unknown; {hint}{takes}"


def shown(value: object) -> str:
    """A value as one short line for a message."""
    try:
        text = json.dumps(to_plain(value), ensure_ascii=False)
    except (TypeError, ValueError, OverflowError):
        try:
            text = repr(value)
        except ValueError:  # Python refuses to print integers with thousands of digits
            text = "a number with thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def coerced(value: Any, annotation: Any) -> Any:
    """A value converted to the type of its annotation; only numbers and sequences are converted.

    Raises:
        ValueError: the annotation does not allow it.
    """
    if typing.get_origin(annotation) is Annotated:
        return _marked(value, *typing.get_args(annotation))
    return _of_type(value, annotation, infinite=False)


def _marked(value: Any, base: Any, *marks: Any) -> Any:
    if any(isinstance(mark, AsArray) for mark in marks):
        value = _as_array(value, infinite=any(isinstance(mark, Infinite) for mark in marks))
    elif typing.get_origin(base) is Annotated:
        value = coerced(value, base)
    else:
        value = _of_type(value, base, infinite=any(isinstance(mark, Infinite) for mark in marks))
    for mark in marks:
        if not _keeps(value, mark):
            raise ValueError
    return value


def _keeps(value: Any, mark: Any) -> bool:
    """Whether a value is within a bound; traced numbers always pass."""
    try:
        match mark:
            case Gt():
                return bool(np.all(value > mark.gt))
            case Ge():
                return bool(np.all(value >= mark.ge))
            case Lt():
                return bool(np.all(value < mark.lt))
            case Le():
                return bool(np.all(value <= mark.le))
            case MinLen():
                return len(value) >= mark.min_length
            case Allowed():
                return mark.test(value)
    except TypeError as error:
        if "Tracer" in type(error).__name__:
            return True
        raise ValueError from error
    except Exception as error:
        if "Tracer" in type(error).__name__:
            return True
        raise
    return True


def _as_array(value: Any, infinite: bool) -> Any:
    """Numbers as a numpy array of floats, so that all inputs share a program; traced ones as is."""
    if infinite and isinstance(value, str) and value == "inf":
        value = math.inf
    if "Tracer" in type(value).__name__:
        return value
    is_array = isinstance(value, np.ndarray | np.generic) or hasattr(value, "aval")  # JAX arrays
    if isinstance(value, bool) or not (is_array or isinstance(value, numbers.Real)):
        raise ValueError
    if is_array and np.asarray(value).dtype.kind not in "fiu":
        raise ValueError
    try:
        array = np.asarray(value, float)
    except OverflowError:  # an integer with hundreds of digits
        raise ValueError from None
    if np.isnan(array).any() or (np.isinf(array).any() and not infinite):
        raise ValueError
    return array


def _of_type(value: Any, kind: Any, infinite: bool) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is inspect.Parameter.empty:
        return value
    if origin in (Union, types.UnionType):
        return _of_any(value, arguments)
    if origin is Literal:
        if isinstance(value, bool | np.bool_) or value not in arguments:
            raise ValueError
        return value
    if origin is tuple:
        return _tuple(value, arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError
        return Frozen({key: coerced(entry, arguments[1]) for key, entry in value.items()})
    if origin is collections.abc.Callable:
        if not callable(value):
            raise ValueError
        return value
    return _simple(value, kind, infinite)


def _of_any(value: Any, kinds: Sequence[Any]) -> Any:
    for kind in kinds:
        try:
            return coerced(value, kind)
        except ValueError:
            continue
    raise ValueError


def _tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise ValueError
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(coerced(entry, kinds[0]) for entry in value)
    if len(value) != len(kinds):
        raise ValueError
    return tuple(coerced(entry, kind) for entry, kind in zip(value, kinds, strict=True))


def _simple(value: Any, kind: Any, infinite: bool) -> Any:
    of_jax = getattr(kind, "__name__", "") == "Array"
    if of_jax and value is not None and not isinstance(value, str | bool):
        return _as_array(value, infinite=True)  # a JAX array in a user's class
    if kind is float:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
        if not is_number and getattr(value, "shape", None) != ():
            raise ValueError
        try:
            number = float(typing.cast(Any, value))
        except (OverflowError, TypeError):
            raise ValueError from None
        if math.isnan(number) or (math.isinf(number) and not infinite):
            raise ValueError
        return number
    if kind is int:
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
            raise ValueError
        return int(value)
    if kind is None or kind is type(None):
        if value is not None:
            raise ValueError
        return None
    if kind is bool and isinstance(value, np.bool_):
        return bool(value)
    if kind is Callable or kind is typing.Callable:
        if not callable(value):
            raise ValueError
        return value
    if isinstance(kind, type) and not isinstance(value, kind):
        raise ValueError
    return value


def _allowed(annotation: Any) -> str:
    """The values that an annotation allows, in words."""
    base, marks = annotation, ()
    while typing.get_origin(base) is Annotated:
        base, *own = typing.get_args(base)
        marks = (*marks, *own)
    for mark in marks:
        if isinstance(mark, Allowed):
            return mark.text
    bounds = [_bound(mark) for mark in marks]
    text = _kind(base, any(isinstance(mark, AsArray) for mark in marks))
    text += "".join(
        f" {bound}" if k == 0 else f", {bound}" for k, bound in enumerate(filter(None, bounds))
    )
    return text + (", or inf" if any(isinstance(mark, Infinite) for mark in marks) else "")


def _bound(mark: Any) -> str:
    match mark:
        case Gt():
            return f"above {mark.gt:g}"
        case Ge():
            return f"of at least {mark.ge:g}"
        case Lt():
            return f"below {mark.lt:g}"
        case Le():
            return f"at most {mark.le:g}"
    return ""


def _kind(base: Any, is_array: bool) -> str:
    origin, arguments = typing.get_origin(base), typing.get_args(base)
    if is_array or base is float:
        return "a number"
    if origin in (Union, types.UnionType):
        return " or ".join(map(_allowed, arguments))
    if origin is Literal:
        *most, last = [json.dumps(one) for one in arguments]
        return f"{', '.join(most)} or {last}" if most else last
    if origin is tuple:
        return f"a list of {_allowed(arguments[0]).removeprefix('a ')}s"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    names = {int: "a whole number", bool: "true or false", str: "text", type(None): "nothing"}
    if base in names:
        return names[base]
    if origin is not None or base is Callable:
        return "a function"
    return getattr(base, "__name__", str(base))


def _meaning(field: Field) -> str:
    return f" ({field.meaning})" if field.meaning else ""


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters, without those whose annotations cannot be resolved."""
    sources = [target.__init__, target] if inspect.isclass(target) else [target]
    hints: dict[str, Any] = {}
    for source in sources:
        try:
            hints |= typing.get_type_hints(source, include_extras=True)
        except (NameError, TypeError):
            continue
    return hints


KINDS = {
    "snap": "jentmax.descriptors:Snap",
    "clarke-smith": "jentmax.repulsion:ClarkeSmith",
    "nearest-neighbor": "jentmax.entropy:NearestNeighbor",
    "kth-nearest-neighbor": "jentmax.entropy:KthNearestNeighbor",
    "soft-nearest-neighbor": "jentmax.entropy:SoftNearestNeighbor",
    "kernel-density": "jentmax.entropy:KernelDensity",
    "gaussian": "jentmax.entropy:Gaussian",
    "vendi": "jentmax.entropy:Vendi",
    "langevin": "jentmax.samplers:Langevin",
    "descent": "jentmax.samplers:Descent",
    "fire": "jentmax.samplers:Fire",
    "basin-hopping": "jentmax.samplers:BasinHopping",
    "random": "jentmax.generation:RandomStart",
    "constant": "jentmax.samplers.schedules:constant",
    "linear-up": "jentmax.samplers.schedules:linear_up",
    "linear-down": "jentmax.samplers.schedules:linear_down",
    "quadratic-up": "jentmax.samplers.schedules:quadratic_up",
    "quadratic-down": "jentmax.samplers.schedules:quadratic_down",
    "cosine-up": "jentmax.samplers.schedules:cosine_up",
    "cosine-down": "jentmax.samplers.schedules:cosine_down",
}
"""Short names of the package's components and schedules, with their locations."""


def kind_of(target: Any) -> str:
    """The short name of a class or function of the package, "module:name" for any other."""
    target = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    module, name = target.__module__, target.__qualname__
    for kind, place in KINDS.items():
        room, _, own = place.partition(":")
        if name == own and f"{module}.".startswith(f"{room}."):
            return kind
    return f"{module}:{name}"


def to_plain(value: Any) -> Any:
    """A value as plain data for JSON and TOML.

    A component becomes a table of its ``kind`` and its fields; a function becomes its name.
    """
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"  # JSON has no infinite numbers
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "aval"):
        array = np.asarray(value)
        if array.dtype == np.float32:  # 0.02, not 0.019999999552965164
            array = np.array([float(str(one)) for one in array.ravel()]).reshape(array.shape)
        return to_plain(array.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, functools.partial):
        name = kind_of(value.func)
        return {"kind": name} | to_plain(value.keywords) if value.keywords else name
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [to_plain(entry) for entry in value]
    if own := getattr(value, "to_plain", None):
        return own()
    if inspect.isroutine(value) or inspect.isclass(value):
        return kind_of(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {"kind": kind_of(value)} | {name: to_plain(getattr(value, name)) for name in names}
    return kind_of(value)
