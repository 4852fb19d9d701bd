"""What the package raises, and what it warns of."""


class JentmaxError(ValueError):
    """Bad input; the message names the field, its value, what is allowed and what to do."""


class LeftOut(UserWarning):
    """The output does not hold something that was given; the message names it."""
