"""Names of a descriptor's features, and whether descriptions of it can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from jentmax.fields import to_plain

if TYPE_CHECKING:
    from jaxtyping import Array

    from jentmax.neighbors import Environments

Descriptor: TypeAlias = "Callable[[Environments], Array]"
"""Environments -> features: of `jentmax.descriptors`, or any callable with a ``cutoff`` in Å."""


def component_labels(descriptor: Any) -> list[str]:
    """A name for each feature: twice j1, j2 and j behind their elements, or its number.

    Args:
        descriptor: as `jentmax.callables.as_descriptor` returns it.
    """
    return [
        "-".join([*map(str, label[:-3]), "".join(map(str, label[-3:]))])
        for label in descriptor.labels
    ]


def is_own_code(descriptor: Any) -> bool:
    """Whether a descriptor is the user's own: nothing shows when its code has changed."""
    plain = to_plain(descriptor)
    return ":" in (plain["kind"] if isinstance(plain, dict) else plain)
