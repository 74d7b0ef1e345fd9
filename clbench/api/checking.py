"""What records say, and whether it holds."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, AnyPaths, as_path, as_paths, path_or_none

if TYPE_CHECKING:
    from clbench.data.load import Data
    from clbench.leaderboard.compare import Comparison
    from clbench.models.load import Model
    from clbench.verification.findings import Verified


def compare(
    records: AnyPaths, *, recipes: bool = False, out: AnyPath = "results"
) -> "list[Comparison]":
    """Compare robust accuracies on the same examples, each with each: what differs beyond chance.

    Differences have 95 % intervals for pairs, and p-values by McNemar's exact test; what is said of
    all pairs of a setting holds together (Holm).

    Args:
        records: Files of records, folders with records, or names of models. They are compared
            where data, examples, norm, eps and attack agree.
        recipes: Whether several seeds of one recipe are compared as one: by their mean, with
            intervals that count both the seeds and the examples.
        out: The folder with the records of models that are named.

    Returns:
        A comparison for each setting that all have a record of.

    Raises:
        ClbenchError: There is no such record, two have nothing in common, or the evidence of one
            is not what it names.
    """
    from clbench.leaderboard.compare import compare

    return compare(as_paths("records", records), as_path("out", out), recipes=recipes)


def verify(
    record: AnyPath = "results",
    *,
    level: int | None = None,
    model: "Model | None" = None,
    weights: AnyPath | None = None,
    output: str | int | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    audit: int | None = None,
    nonce: str | None = None,
    attack: str | None = None,
    device: str = "auto",
    on_cost: "Callable[[str], None] | None" = None,
) -> "Verified":
    """Return what holds of a record, or of all records in a folder, whoever made them.

    Level 1 recomputes from files whatever follows from them, and checks that every image that
    proves something is in the ball. At level 2 the network says again what it says of clean and of
    these images. At level 3, examples that are claimed to be robust are drawn and attacked again.
    Code of whoever made a record runs only where it is given by hand.

    Args:
        record: A record, or a folder that holds records.
        level: How far to go, 1, 2 or 3; as far as what is given is good for, unless said.
        model: The network of a record whose own name does not lead to it, as for ``evaluate``.
        weights: A file of its weights.
        output: Which entry of the network's answer is its logits; the record's unless given.
        data: Its images, where they are not in the package.
        data_dir: The folder with the public archives of a data set.
        audit: How many robust examples to attack again, 299 unless given.
        nonce: Decides, with the hash of the evidence, which those are, and the random numbers; a
            new one each time unless given.
        attack: What attacks them; something stronger than was claimed, unless given.
        device: auto, cpu, cuda or cuda:N.
        on_cost: Told in a line what each level costs, before it begins.

    Raises:
        ClbenchError: There are no records, or a value that cannot be; what does not hold is among
            the problems of what is returned.
    """
    from clbench.leaderboard.check import check_target
    from clbench.verification.findings import FILES
    from clbench.verification.request import Given, read_request

    given = Given(
        model=model,
        weights=path_or_none("weights", weights),
        output=output,
        data=data,
        data_dir=path_or_none("data_dir", data_dir),
    )
    request = read_request(
        given, level=level, audit=audit, nonce=nonce, attack=attack, device=device
    )
    tell = on_cost or (lambda _line: None)
    verified, read = check_target(as_path("record", record), tell)
    if request.level == FILES:
        return verified
    from clbench.verification.again import ask_again

    return ask_again(verified, read, request, tell)


def bundle(
    record: AnyPath,
    *,
    weights: AnyPath | None = None,
    weights_url: str = "",
    out: AnyPath | None = None,
) -> Path:
    """Pack a record, what proves it and a card into one file, and return its path.

    ``clbench leaderboard add`` verifies it, whoever made it, and adds it to a leaderboard. The same
    record gives the same bytes.

    Args:
        record: A record in a folder of results.
        weights: Those of its network, of safetensors, to be sent with it; those of the zoo, timm
            and RobustBench are known by name.
        weights_url: Where anybody can fetch them, by https.
        out: The file to write, NAME.clbench.zip in the working folder unless given.

    Raises:
        ClbenchError: Files alone tell that the record does not hold, nothing was attacked, the
            weights are others than it tells of, or there is another file.
    """
    from clbench.leaderboard.bundles.make import bundle

    return bundle(
        as_path("record", record),
        weights=path_or_none("weights", weights),
        weights_url=weights_url,
        out=path_or_none("out", out),
    )
