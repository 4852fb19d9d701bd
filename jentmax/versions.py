"""What computed a result: the device and the versions of the packages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import jax


def device_name() -> str:
    """The device that computes, in words."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
    return f"{device.platform.upper()} ({device.device_kind})"


def versions() -> dict[str, str]:
    """Versions of the packages that compute, and of Python."""
    packages = ("jentmax", "jax", "jaxlib", "jax-md", "numpy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}
