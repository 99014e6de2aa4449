"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: the message says which item, what was seen, what was allowed, what to do.

    The command line prints the message without a stack trace and exits with status 2; inside a worker it
    fails that worker's shard and is reported with it.
    """
