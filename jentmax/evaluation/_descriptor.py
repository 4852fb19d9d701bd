"""Names of descriptors and of their features, in files and tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from jentmax.fields import to_plain

if TYPE_CHECKING:
    from jaxtyping import Array

    from jentmax.neighbors import Environments

Descriptor: TypeAlias = "Callable[[Environments], Array]"
"""Environments -> features: a descriptor of the package, or any callable with a ``cutoff`` in Å."""


def component_labels(descriptor: Any) -> list[str]:
    """A label for each feature: elements, 2 j1, 2 j2 and 2 j for SNAP, otherwise its number.

    Args:
        descriptor: from `jentmax.callables.as_descriptor`.
    """
    return [
        "-".join([*map(str, label[:-3]), "".join(map(str, label[-3:]))])
        for label in descriptor.labels
    ]


def plain_descriptor(descriptor: Any) -> dict[str, Any]:
    """A descriptor as a table of plain data with its ``kind``, for data sets."""
    plain = to_plain(descriptor)
    plain = plain if isinstance(plain, dict) else {"kind": plain}
    return json.loads(json.dumps(plain))


def is_own_code(descriptor: Any) -> bool:
    """Whether a descriptor is the user's own code; jentmax cannot detect changes of such code."""
    return ":" in plain_descriptor(descriptor)["kind"]
