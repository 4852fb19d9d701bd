"""Name of the device and versions of the packages, for stored results."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version

from jentmax import __version__


def device_name(n_devices: int) -> str:
    """Name of the devices.

    Args:
        n_devices: number of devices in use.
    """
    import jax

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return f"CPU ({platform.machine()}, {n_devices} {'core' if n_devices == 1 else 'cores'})"
    several = f"{n_devices} x " if n_devices > 1 else ""
    return f"{several}{device.platform.upper()} ({device.device_kind})"


def device_kind(name: str) -> str:
    """A result of `device_name` without the number of devices."""
    return re.sub(r"^\d+ x |, \d+ cores?(?=\))", "", name)


def versions() -> dict[str, str]:
    """Versions of the computing packages and of Python."""
    installed = {name: version(name) for name in ("jax", "jaxlib", "jax-md", "numpy")}
    return {"jentmax": __version__} | installed | {"python": platform.python_version()}
