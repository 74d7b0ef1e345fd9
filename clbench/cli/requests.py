"""One evaluation for every model and every eps of a command."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from clbench.runtime.processes import processes
from clbench.schema.by_model import by_model
from clbench.schema.errors import ClbenchError, CommandError, lines_of

if TYPE_CHECKING:
    from clbench.evaluation.evaluation import Evaluation
    from clbench.schema.protocol import Protocol


T = TypeVar("T")


class Request(NamedTuple):
    """What one of several evaluations has of its own."""

    model: str
    weights: Path | None
    eps: str | None
    output: str | None = None


def requests(
    models: Sequence[str], weights: Sequence[str], eps: Sequence[str], outputs: Sequence[str] = ()
) -> list[Request]:
    """Return what was asked for: each model with what is its own, at every eps in turn.

    Args:
        models: As ``--model`` gives them.
        weights: Files; of several models, each as ``NAME=FILE``.
        eps: None of them leaves it to the protocol.
        outputs: Entries of what networks return; of several models, each as ``NAME=ENTRY``.

    Raises:
        BadValueError: A value of no model, or two of one.
    """
    models = list(dict.fromkeys(models))
    files = by_model(models, weights, option="--weights", value="FILE")
    entries = by_model(models, outputs, option="--output", value="ENTRY")
    each: Sequence[str | None] = list(dict.fromkeys(eps)) or [None]
    return [
        Request(model, Path(files[model]) if model in files else None, one, entries.get(model))
        for model in models
        for one in each
    ]


def each_evaluated(
    wanted: Sequence[Request],
    find: Callable[[Request], Request],
    evaluate: Callable[[Request], "Evaluation"],
    tell: Callable[[str], None],
    show: Callable[["Evaluation"], None],
) -> tuple[list["Evaluation"], bool]:
    """Run every request; one that cannot be run is told, and the others are run all the same.

    Args:
        wanted: The requests.
        find: Returns a request whose model is there, or raises what is wrong with it; all that is
            told before the first one is run.
        evaluate: Runs one.
        tell: Takes a line for each thing that is wrong.
        show: Takes what was finished.

    Returns:
        What was finished, and whether all was.

    Raises:
        ClbenchError: The only request cannot be run.
    """
    if len(wanted) == 1:  # what is wrong with it is told as soon as it is met
        done = [evaluate(wanted[0])]
        show(done[0])
        return done, True
    complain = _telling_once(tell)
    found = [one for one in wanted if _tried(find, one, complain)]
    done = []
    for request in found:
        evaluation = _tried(evaluate, request, complain)
        if evaluation is not None:
            show(evaluation)
            done.append(evaluation)
    return done, len(done) == len(wanted)


def _tried(
    step: Callable[[Request], T],
    request: Request,
    complain: Callable[[Request, ClbenchError], None],
) -> T | None:
    """Return what a step gave, or None where something was wrong, which is complained of."""
    try:
        return step(request)
    except ClbenchError as error:
        complain(request, error)
        return None


def _telling_once(tell: Callable[[str], None]) -> Callable[[Request, ClbenchError], None]:
    """Return a function that tells what is wrong with a request, but not again at every eps."""
    told: set[str] = set()

    def complain(request: Request, error: ClbenchError) -> None:
        for line in (f"{request.model}: {one}" for one in lines_of(error)):
            if line not in told:
                tell(line)
            told.add(line)

    return complain


def find_model(request: Request, given: Mapping[str, Any]) -> Request:
    """Return a request whose model is there, which is found out without loading it.

    Raises:
        ClbenchError: It is not.
    """
    from clbench.models.resolve import check_model

    named = given["data"] is None or given["protocol"] is not None
    dataset = settled(request, given).dataset if named else None
    check_model(request.model, dataset=dataset, weights=request.weights)
    return request


def settled(request: Request, given: Mapping[str, Any]) -> "Protocol":
    """Return the protocol of a request, beside what else was given.

    Raises:
        ClbenchError: A value that cannot be, or that does not go with another.
    """
    from clbench.attacks.grammar import settle

    settings = {name: given[name] for name in ("norm", "attack", "n_examples", "seed")}
    own_data = given["data"] is not None
    return settle(given["protocol"], own_data=own_data, eps=request.eps, **settings)


def check(wanted: Sequence[Request], given: Mapping[str, Any]) -> None:
    """Find what is wrong with any request before the first is run for hours.

    Raises:
        ClbenchError: All of it.
    """
    faults: dict[str, ClbenchError] = {}
    for request in wanted:
        try:
            settled(request, given)
        except ClbenchError as error:
            faults[str(error)] = error
    if faults:
        raise CommandError(list(faults.values()))


def in_words(request: Request, given: Mapping[str, Any]) -> str:
    """Return what is about to be done, in one line."""
    protocol, data, n = settled(request, given), given["data"], given["n_examples"]
    images = f"{protocol.n_examples} images of {protocol.dataset}"
    if data is not None:
        images = f"{'images' if n is None else f'{n} images'} of {Path(data).name}"
    setting = f"{protocol.attack} in {protocol.threat_model}"
    mine, shard = processes(), given["shard"]
    part = f"shard {shard} of " if shard else ""
    together = f", in {mine.world} processes" if mine else ""
    where = f"into {given['out']}{together}"
    return f"evaluating {request.model} on {part}{images}, {setting}, {where}"
