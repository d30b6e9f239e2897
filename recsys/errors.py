"""The error tree. Every error that a user can cause is one of these and carries the exit code of its kind.

A message is one sentence (or two): what was found, where, what was expected and what to do about it. Whatever in it
looks like a secret is masked, since it is printed and stored.
"""

from __future__ import annotations

from recsys.secrets import masked_text


class RecsysError(Exception):
    """Base of every error that the project raises on purpose.

    Attributes
    ----------
    exit_code : int
        What a job's process ends with when the error reaches the runner.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked_text(message))


class ConfigError(RecsysError):
    """A flag, a config key, a mapping or a path given by the user is wrong (exit 2)."""

    exit_code = 2


class DataError(RecsysError):
    """The data broke its contract: missing or empty input, quarantine limit, broken key (exit 3)."""

    exit_code = 3


class MissingData(DataError):
    """A table, or a slice of one, that a job should have made is not there (exit 3).

    Attributes
    ----------
    table : str
        Name of the table.
    when : str
        Empty, or for which instant it has to be made, with a space behind it.
    """

    def __init__(self, message: str, *, table: str, when: str = "") -> None:
        super().__init__(message)
        self.table = table
        self.when = when


class NothingToDo(DataError):
    """There is no data that the job could work on; a pipeline reports it and goes on (exit 3 when alone)."""


class SliceHeldError(RecsysError):
    """Another run holds the slice that this run wants to write (exit 4)."""

    exit_code = 4


class EnvironmentProblem(RecsysError):
    """Something that the job needs is not installed or not reachable: Java, jars, executors (exit 1)."""
