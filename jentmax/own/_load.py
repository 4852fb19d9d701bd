"""``module:name`` and further fields -> an object that can be called."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from jentmax.config.settings import OwnCode
from jentmax.errors import JentmaxError


class Loaded(NamedTuple):
    """What a section names.

    Attributes:
        function: what is to be called; equal to itself alone, or an equinox module.
        cutoff: attribute ``largest_cutoff`` or ``cutoff`` of an object, parameter ``cutoff`` of a
            function, None where there is none.
    """

    function: Callable[..., Any]
    cutoff: object


def load_own(section: str, given: OwnCode) -> Loaded:
    """An instance of the class, or the function, that a section names.

    The module is looked for in the current folder, then wherever Python looks. The section's other
    fields are the parameters of the class, or those of the function behind the first, of which
    each must be known and of the annotated type.

    Args:
        section: of the settings, for messages.
        given: its fields.

    Raises:
        JentmaxError: naming the field, what is wrong with it, and what is allowed.
    """
    kind = f'{section}.kind = "{given.kind}"'
    target = _found(given.kind, kind)
    is_class = inspect.isclass(target)
    values = _checked(section, given, kind, target, is_class)
    if not is_class:
        return Loaded(functools.partial(target, **values), values.get("cutoff"))
    try:
        made = target(**values)
    except Exception as error:
        raise JentmaxError(
            f"{kind}: making it raised {type(error).__name__}: {error}; correct the class, or its "
            f"fields in [{section}]"
        ) from error
    if not callable(made):
        raise JentmaxError(f"{kind}: its instances cannot be called; give the class a __call__")
    # Other objects may have no hash, which jit asks for.
    function: Any = made if isinstance(made, eqx.Module) else functools.partial(made)
    return Loaded(function, getattr(made, "largest_cutoff", getattr(made, "cutoff", None)))


def _found(name: str, kind: str) -> Any:
    """The class or function of a name."""
    path, _, attribute = name.partition(":")
    try:
        with _current_folder():
            module = importlib.import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{path}.".startswith(f"{error.name}."):
            raise JentmaxError(
                f"{kind}: there is no module {error.name}; give one of the current folder, "
                f"{os.getcwd()}, or of a folder on PYTHONPATH"
            ) from None
        raise JentmaxError(
            f"{kind}: importing {path} raised {type(error).__name__}: {error}; correct the module"
        ) from error
    target = getattr(module, attribute, None)
    if not callable(target):
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        near = difflib.get_close_matches(attribute, own, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise JentmaxError(
            f"{kind}: {module.__file__} has no class or function {attribute}; {hint}"
            f"give one of {', '.join(own) or 'those of another module'}"
        )
    return target


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, as Python does for scripts there."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


def _checked(
    section: str, given: OwnCode, kind: str, target: Any, is_class: bool
) -> dict[str, Any]:
    """The parameters' values, of the types that they are annotated with."""
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        raise JentmaxError(
            f"{kind}: its parameters cannot be read; give a function or class written in Python"
        ) from None
    if not is_class:
        parameters = parameters[1:]  # what it is called with
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        raise JentmaxError(f"{kind}: takes any **keywords; name them, so that they can be checked")
    allowed = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    hints = _hints(target, is_class)
    names = ", ".join(
        f"{name} ({_name(hints[name])})" if name in hints else name for name in allowed
    )
    values = {}
    for name, value in given.given.items():
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {section}.{near[0]}? " if near else ""
            raise JentmaxError(
                f"{section}.{name} = {json.dumps(value, default=str)} is unknown; {hint}"
                f"{given.kind} takes {names or 'no fields'}"
            )
        values[name] = _typed(f"{section}.{name}", value, hints.get(name, Any), given.kind)
    for name, parameter in allowed.items():
        if parameter.default is parameter.empty and name not in values:
            raise JentmaxError(f"{section}.{name} is missing; {given.kind} takes {names}")
        if parameter.default is not parameter.empty:
            values.setdefault(name, parameter.default)
    return values


def _hints(target: Any, is_class: bool) -> dict[str, Any]:
    """Types of the parameters; none where annotations cannot be read."""
    sources = [target.__init__, target] if is_class else [target]
    hints: dict[str, Any] = {}
    for source in sources:
        with contextlib.suppress(NameError, TypeError):
            hints |= typing.get_type_hints(source)
    return hints


def _typed(field: str, value: Any, hint: Any, own: str) -> Any:
    """A value as a type has it; lists become tuples, and nothing else is converted."""
    config = ConfigDict(arbitrary_types_allowed=True)
    try:
        try:
            adapter = TypeAdapter(hint, config=config)
        except PydanticUserError:  # types that have settings of their own
            adapter = TypeAdapter(hint)
        # As JSON, whose lists are tuples too where those are asked for.
        return adapter.validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        raise JentmaxError(
            f"{field} = {json.dumps(value, default=str)} is not allowed; {own} takes {_name(hint)}"
        ) from None


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
