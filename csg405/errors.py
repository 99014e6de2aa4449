"""The one exception that is meant for the person at the keyboard, and what is said of others."""


class UserError(Exception):
    """Something the user can mend: the message says which item, what was seen, what was allowed, what to do.

    The command line prints the message without a stack trace and exits with status 2; inside a worker it
    fails that worker's shard and is reported with it.
    """


def first_line(error: BaseException) -> str:
    """Of what an error says; its name where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
