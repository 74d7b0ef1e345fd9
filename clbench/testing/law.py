"""What a law is: a named sentence about a thing, as a function that raises where it is untrue."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from clbench.schema.names import look_up


@runtime_checkable
class Case(Protocol):
    """A thing on trial, with what it says about itself."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def exempt(self) -> Mapping[str, str]:
        """The laws that it does not claim to keep, each with the reason."""
        ...


C = TypeVar("C", bound=Case)
Law = Callable[[C], None]


def hold(claim: bool, seen: str) -> None:
    """Raise AssertionError with what was ``seen`` where the ``claim`` is untrue.

    Unlike ``assert`` it also speaks under ``python -O``.
    """
    if not claim:
        raise AssertionError(seen)


def laws_for(laws: Mapping[str, Law[C]], case: C) -> list[str]:
    """Return the names of the laws that ``case`` must keep.

    Raises:
        UnknownNameError: The case is exempt from what is no law.
    """
    for name in case.exempt:
        look_up(laws, name, "law")
    return [name for name in laws if name not in case.exempt]


def check(laws: Mapping[str, Law[C]], case: C, only: Iterable[str] = ()) -> None:
    """Assert that ``case`` keeps the laws ``only``, by default all that it is not exempt from.

    Raises:
        AssertionError: It breaks a law; the message names the law and what was seen.
        UnknownNameError: There is no such law.
    """
    for name in list(only) or laws_for(laws, case):
        law = look_up(laws, name, "law")
        try:
            law(case)
        except AssertionError as error:
            raise AssertionError(f"{case.name} breaks the law {name!r}: {error}") from error
