"""The one exception that bad input raises."""


class JentmaxError(ValueError):
    """Input that cannot be used: the message names the field, its value and what is allowed."""
