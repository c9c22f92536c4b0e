"""The one exception that is the user's to fix."""


class InputError(ValueError):
    """Bad input: its message is one line that names the file or key, what was found and what is allowed.

    The stages print it and exit with status 1; anything else that is raised is a bug and keeps its traceback.
    """


class Diverged(InputError):
    """A training whose losses or weights are no longer finite numbers."""
