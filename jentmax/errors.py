"""Exceptions: bad input, and runs that someone stopped."""


class JentmaxError(ValueError):
    """Bad input; the message names the field, its value, what is allowed and what to do."""


class Stopped(Exception):
    """Someone stopped a run before its set was complete; progress callbacks may raise it."""


class LeftOut(UserWarning):
    """The output does not hold something that was given; the message names it."""
