"""What to do when a device has no memory left."""

from __future__ import annotations

from jentmax.config import Settings
from jentmax.errors import JentmaxError


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is what the device says when its memory is full."""
    return "RESOURCE_EXHAUSTED" in str(error)


class Width:
    """How many structures stand side by side on each device: fewer once its memory was full.

    Attributes:
        batch_size: structures on each device.
    """

    def __init__(self, batch_size: int) -> None:
        """Begin with as many as the settings say."""
        self.batch_size = batch_size

    def halve(self, settings: Settings) -> None:
        """Half as many from now on.

        Raises:
            JentmaxError: if there was but one.
        """
        if self.batch_size == 1:
            raise JentmaxError(
                f"system.n_atoms = {max(settings.system.atom_counts())}: one structure alone takes "
                "more memory than the device has; give fewer atoms, a smaller descriptor.cutoff or "
                'descriptor.twojmax, or run.precision = "float32"'
            )
        self.batch_size //= 2
