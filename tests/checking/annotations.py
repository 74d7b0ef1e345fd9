"""Annotations of clbench as they are checked during tests, at half of what it costs otherwise.

jaxtyping has every call checked twice: the arguments before it, and the arguments once more with
what is returned, for type variables, of which clbench has none in its shapes. Here each is checked
once; and what checks is made at the first call, as no test process calls all there is.
"""

from typing import Any

from beartype import beartype

RETURNED = "return"


def checked(function):
    """Return a check of the arguments or, where something is returned, of that alone.

    ``function`` is jaxtyping's stand-in for an annotated one. That of the first check returns
    ``Any``.
    """
    hints = function.__annotations__
    if hints.get(RETURNED, Any) is not Any:
        function.__annotations__ = {RETURNED: hints[RETURNED]}
    check = None

    def call(*args, **kwargs):
        nonlocal check
        if check is None:
            check = beartype(function)
        return check(*args, **kwargs)

    return call
