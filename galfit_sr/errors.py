"""The one exception a user's input can raise."""


class InputError(ValueError):
    """Input that cannot be used.

    The message is one clear sentence that names the offending value and what is allowed. The command line prints it
    and exits with code 2; nothing has been written by then.
    """
