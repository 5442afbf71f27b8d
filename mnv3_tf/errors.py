"""The one exception that users are meant to read."""


class UserError(ValueError):
    """Bad input, told in one sentence that names the value and the remedy.

    Commands print it without a traceback and leave with exit status 2.
    """
