"""The one exception type whose text is written for the person at the screen."""


class SaltflatError(Exception):
    """Something the user can act on: the text names the file, row or field and what to do.

    The command line and the screens print it as it is, without a traceback.
    """


class UnreadableImage(SaltflatError):
    """One image could not be decoded; the row is kept, without a score."""


class Cancelled(Exception):
    """The person asked the run to stop. Finished stages stay, `--resume` goes on from there."""
