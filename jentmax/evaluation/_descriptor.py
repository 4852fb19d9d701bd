"""A descriptor's names: those of its features, and its own in files."""

from __future__ import annotations

import json
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


def plain_descriptor(descriptor: Any) -> dict[str, Any]:
    """A descriptor as a table of plain data with its ``kind``, as data sets hold it."""
    plain = to_plain(descriptor)
    plain = plain if isinstance(plain, dict) else {"kind": plain}
    return json.loads(json.dumps(plain))


def is_own_code(descriptor: Any) -> bool:
    """Whether a descriptor is the user's own: nothing shows when its code has changed."""
    return ":" in plain_descriptor(descriptor)["kind"]
