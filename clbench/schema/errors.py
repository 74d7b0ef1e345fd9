"""What a user can mend, one class per kind of thing that is wrong.

    ClbenchError
      UnknownNameError     a name that no table holds
      BadValueError        a value outside what is allowed; also a ValueError
      DataError            images or labels that are missing, unreadable or wrong
      ModelError           a model that cannot be built or does not behave like a classifier
      WeightsError         a weights file that is missing, damaged or of another network
      RecordError          a stored result that cannot be read
      InstallationError    a package that is missing or overwritten
      StorageError         a file that cannot be written
      CommandError         several of these at once

The command line prints the message as one line and exits with status 2. Anything else is a bug of
ours and shows its traceback.
"""

from collections.abc import Sequence


class ClbenchError(Exception):
    """Something that the user can mend; the message says what, what came, and what to do next."""


class UnknownNameError(ClbenchError):
    """A name that is in no table."""


class BadValueError(ClbenchError, ValueError):
    """A value outside what is allowed."""


class DataError(ClbenchError):
    """Images or labels that are missing, unreadable or wrong."""


class ModelError(ClbenchError):
    """A model that cannot be built, or does not behave like an image classifier."""


class WeightsError(ClbenchError):
    """A weights file that is missing, damaged, or of another network."""


class RecordError(ClbenchError):
    """A stored result that cannot be read."""


class InstallationError(ClbenchError):
    """A package that is missing or overwritten; the message holds the line that mends it."""


class StorageError(ClbenchError):
    """A file that cannot be written."""


class CommandError(ClbenchError):
    """All that is wrong with one command, each told by itself."""

    def __init__(self, errors: Sequence[ClbenchError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)


def errors_of(error: ClbenchError) -> tuple[ClbenchError, ...]:
    """Return each thing that is wrong as an error of its own."""
    return error.errors if isinstance(error, CommandError) else (error,)


def lines_of(error: ClbenchError) -> list[str]:
    """Return what an error says, a line for each thing that is wrong."""
    return [str(one) for one in errors_of(error)]


_MESSAGE_LENGTH = 200


def describe(error: BaseException) -> str:
    """Return an error's type and message in one line of bearable length."""
    message = " ".join(str(error).split())
    short = message if len(message) <= _MESSAGE_LENGTH else f"{message[:_MESSAGE_LENGTH]} ..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__
