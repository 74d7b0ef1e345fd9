"""Values that several models of one command have each of its own: ``NAME=VALUE``."""

from collections.abc import Sequence

from clbench.schema.errors import BadValueError


def by_model(
    models: Sequence[str], given: Sequence[str], *, option: str, value: str
) -> dict[str, str]:
    """Return the value of each model that was given one.

    Args:
        models: As they were given, ``NAME=WHAT`` or ``WHAT``.
        given: Values; of several models, each as ``NAME=VALUE``.
        option: What takes them, for messages.
        value: What a value is, for messages.

    Raises:
        BadValueError: A value of no model, or two of one.

    >>> by_model(["a", "b=net.py:make"], ["b=logits"], option="--output", value="ENTRY")
    {'b=net.py:make': 'logits'}
    """
    by_name = {f"{name}=": model for model in models for name in _names(model)}
    found: dict[str, str] = {}
    for text in given:
        name = next((one for one in by_name if text.startswith(one)), "")
        if not name and len(models) > 1:
            raise BadValueError(
                f"{option} must read like NAME={value} where there are several models, got {text!r}"
            )
        model, one = by_name.get(name, models[0]), text.removeprefix(name)
        if model in found:
            raise BadValueError(f"model {model!r} has one {option}, got {one!r} too")
        found[model] = one
    return found


def _names(model: str) -> list[str]:
    """Return how a model may be called: as a whole, or by the name before its equals sign."""
    name, sign, _ = model.partition("=")
    return [model, name] if sign else [model]
