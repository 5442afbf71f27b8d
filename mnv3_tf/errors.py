"""The exceptions that users are meant to read."""


class UserError(ValueError):
    """Bad input, told in one sentence that names the value and the remedy.

    Commands print it without a traceback and leave with exit status 2.
    """


class Failure(RuntimeError):
    """What went wrong on the way, told in one sentence that names the value and the remedy.

    Commands print it without a traceback and leave with exit status 1.
    """


class LostPicturesError(Failure):
    """A file of pictures cannot be read any more, in the midst of a work that can go on later."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""
