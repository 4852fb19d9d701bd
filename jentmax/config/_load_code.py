"""Load classes and functions, of the package or of a user, by ``module:name``."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jentmax.errors import JentmaxError
from jentmax.fields import KINDS

_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_CODE = re.compile(f"{_NAME}:{_NAME}")


def is_code(name: object) -> bool:
    """Whether a name has the form ``module:name``."""
    return isinstance(name, str) and _CODE.fullmatch(name) is not None


def is_own(name: object) -> bool:
    """Whether a name refers to code other than the package's kinds."""
    return isinstance(name, str) and ":" in name and name not in KINDS.values()


def load_code(name: str, field: str) -> Any:
    """The class or function with a name.

    This function searches for the module in the current folder, then on Python's path.

    Args:
        name: ``module:name``.
        field: the field that contains the name, for messages.

    Raises:
        JentmaxError: there is no such module or name, or importing the module fails.
    """
    path, _, attribute = name.partition(":")
    called = f'{field} = "{name}"'
    try:
        with _current_folder():
            module = importlib.import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{path}.".startswith(f"{error.name}."):
            raise JentmaxError(
                f"{called}: there is no module {error.name}; give a module in the current folder, "
                f"{os.getcwd()}, or in a folder on PYTHONPATH"
            ) from None
        raise JentmaxError(
            f"{called}: importing {path} raised {type(error).__name__}: {error}; correct the module"
        ) from error
    target = functools.reduce(
        lambda place, part: getattr(place, part, None), attribute.split("."), module
    )
    if not callable(target):
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        near = difflib.get_close_matches(attribute, own, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise JentmaxError(
            f"{called}: {module.__file__} has no class or function {attribute}; {hint}"
            f"give {'one of ' + ', '.join(own) if own else 'another module'}"
        )
    return target


class Made:
    """A hashable wrapper of an instance of a user's class; `to_plain` returns its fields."""

    def __init__(self, instance: Any, plain: Mapping[str, Any]) -> None:
        """Store the instance and its plain form."""
        self._instance, self._plain = instance, dict(plain)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the instance."""
        return self._instance(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the instance, such as a cutoff."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._instance, name)

    def to_plain(self) -> dict[str, Any]:
        """Its kind and fields."""
        return dict(self._plain)


def with_fields(function: Callable[..., Any], values: Mapping[str, Any]) -> Callable[..., Any]:
    """The function with fixed values for all parameters except the first."""
    if not values:
        return function
    filled: Any = functools.partial(function, **values)
    filled.__name__ = getattr(function, "__name__", "function")
    if "cutoff" in values:
        filled.cutoff = values["cutoff"]
    return filled


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Make modules of the current folder importable, as for a script in that folder."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
