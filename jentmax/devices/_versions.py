"""What computed a result: the device and the versions of the packages."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version

from jentmax import __version__


def device_name(n_devices: int) -> str:
    """The devices that compute, in words.

    Args:
        n_devices: how many are used.
    """
    import jax

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return f"CPU ({platform.machine()}, {n_devices} {'core' if n_devices == 1 else 'cores'})"
    several = f"{n_devices} x " if n_devices > 1 else ""
    return f"{several}{device.platform.upper()} ({device.device_kind})"


def device_kind(name: str) -> str:
    """What `device_name` gives, without the number of devices."""
    return re.sub(r"^\d+ x |, \d+ cores?(?=\))", "", name)


def versions() -> dict[str, str]:
    """Versions of the packages that compute, and of Python."""
    installed = {name: version(name) for name in ("jax", "jaxlib", "jax-md", "numpy")}
    return {"jentmax": __version__} | installed | {"python": platform.python_version()}
