"""The exceptions of the package: bad input, and runs that were asked to end."""


class JentmaxError(ValueError):
    """Input that cannot be used: the message names the field, its value and what is allowed."""


class Stopped(Exception):
    """A run was asked to end before its set is complete: what reports may raise."""
