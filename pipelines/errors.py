"""The two ways in which a command ends badly."""


class UserError(Exception):
    """A mistake that the user can mend: the command line says it in one line and ends with exit code 2.

    The text says what came, what was expected and what to do, and names the key, the file or the column.

    >>> raise UserError("rides.csv has no column 'cont'; the nearest is 'cnt'")
    Traceback (most recent call last):
        ...
    pipelines.errors.UserError: rides.csv has no column 'cont'; the nearest is 'cnt'
    """


class Failed(Exception):
    """The work itself did not succeed, through nobody's mistake: exit code 1."""
