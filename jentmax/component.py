"""The base of the package's components: equinox modules whose annotated fields are checked."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import equinox as eqx

from jentmax.errors import JentmaxError
from jentmax.fields import REQUIRED, check, fields_of


class _Checked(type(eqx.Module)):
    """Checks what a constructor is called with, in the words that settings files get."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        fields = fields_of(cls)  # pyright: ignore[reportArgumentType]  (a class has a hash)
        names = list(fields)
        if len(arguments) > len(names):
            raise JentmaxError(
                f"{cls.__name__} takes {len(names)} arguments ({', '.join(names)}), "
                f"{len(arguments)} were given"
            )
        given = dict(zip(names, arguments, strict=False))
        if twice := sorted(given.keys() & named.keys()):
            raise JentmaxError(f"{cls.__name__}.{twice[0]} is given twice")
        # Numbers that become arrays do so by default too: other numbers need no other program.
        defaults = {
            name: field.default
            for name, field in fields.items()
            if field.is_array and field.default is not REQUIRED
        }
        return super().__call__(**check(cls.__name__, cls, defaults | given | named))

    @property
    def __signature__(cls) -> inspect.Signature:
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Component(eqx.Module, metaclass=_Checked):
    """A part that can be swapped, with annotated fields; see `jentmax.fields`.

    The package's own components take replicas as a last axis (``batched``). Callables of users
    take one structure, and `jentmax.Potential` maps them over replicas.
    """

    batched: ClassVar[bool] = True

    def __repr__(self) -> str:
        """The class and its fields, numbers in full."""
        return eqx.tree_pformat(self, short_arrays=False)
