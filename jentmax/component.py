"""The base class of components: equinox modules that check their annotated fields."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import equinox as eqx

from jentmax.errors import JentmaxError
from jentmax.fields import REQUIRED, check, fields_of
from jentmax.modes import in_any_mode

_COMPUTE = ("__call__", "init", "step")
"""Methods of components that compute."""


class _Checked(type(eqx.Module)):
    """Checks constructor arguments; errors read the same as those for settings files."""

    def __new__(cls, name: str, bases: Any, namespace: dict[str, Any], **named: Any) -> Any:
        """Let what computes do so in any mode of JAX."""
        for method in _COMPUTE:
            if inspect.isfunction(namespace.get(method)):
                namespace[method] = in_any_mode(namespace[method])
        return super().__new__(cls, name, bases, namespace, **named)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        fields = fields_of(cls)
        names = list(fields)
        if len(arguments) > len(names):
            raise JentmaxError(
                f"{cls.__name__} takes {len(names)} arguments ({', '.join(names)}), not "
                f"{len(arguments)}; leave out the extra ones"
            )
        given = dict(zip(names, arguments, strict=False))
        if twice := sorted(given.keys() & named.keys()):
            raise JentmaxError(f"{cls.__name__}.{twice[0]} is given twice; give it once")
        # Defaults become arrays too, so that changing a number does not recompile.
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
    """A swappable part with annotated fields; see `jentmax.fields`.

    Components of the package take replicas as the last axis (``batched``). A user's callable takes
    one structure, and `jentmax.Potential` maps it over replicas.
    """

    batched: ClassVar[bool] = True

    def __repr__(self) -> str:
        """The class and its fields, with all numbers written out."""
        return eqx.tree_pformat(self, short_arrays=False)
