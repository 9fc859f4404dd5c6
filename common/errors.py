"""The one base class for errors that a user can mend."""


class UserError(Exception):
    """An error in a config, a file or the machine's set-up, reported in one message that needs no stack trace.

    The message says what was found, what was expected and what to do. run.py prints it alone and exits with 2.
    """


class TooFewRowsError(UserError):
    """Data without rows, or with fewer than are needed: of a small stand-in this says nothing about the real data."""
