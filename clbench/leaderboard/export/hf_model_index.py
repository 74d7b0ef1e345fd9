"""Records as ``model-index`` metadata of model cards on the Hugging Face Hub: a card a network."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clbench.interop.huggingface import Result, model_card
from clbench.leaderboard.export.about import About
from clbench.leaderboard.export.interface import Written, full_name, known
from clbench.leaderboard.table import in_order
from clbench.schema.estimate import Estimate
from clbench.schema.files import safe_name, sha256_of
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import visible

TEXT = (
    "Accuracies were measured by clbench, with 95 % intervals and the parameters in the metadata."
)


def export(records: Sequence[EvaluationRecord], about: About, out: Path) -> Written:
    """Return a card for every network, with all that was measured of it.

    Networks whose cards would have one place are told apart by a hash of name and weights.
    """
    networks: dict[tuple[str, str], list[EvaluationRecord]] = {}
    for record in in_order(records):
        networks.setdefault((full_name(record), record.model.identity_sha256), []).append(record)
    alike = Counter(safe_name(name) for name, _ in networks)
    files = {}
    for (name, weights), of in networks.items():
        folder = safe_name(name)
        if alike[folder] > 1:
            folder = f"{folder}~{sha256_of(f'{name} {weights}'.encode())[:8]}"
        card = model_card(visible(name), results_of(of), TEXT)
        files[f"{folder}/README.md"] = card.encode()
    return Written(files)


def results_of(records: Sequence[EvaluationRecord]) -> list[Result]:
    """Return all that was measured of a network, each once."""
    results = [result for record in records for result in _results(record)]
    return [one for place, one in enumerate(results) if one not in results[:place]]


def _results(record: EvaluationRecord) -> Iterator[Result]:
    data, attack = record.data, record.attack
    clean, robust = known(record, "clean_acc"), known(record, "robust_acc")
    if clean is not None:
        yield _result(record, clean, "clean accuracy", {})
    if robust is None or attack is None or record.threat_model is None:
        return
    threat = record.threat_model
    how: dict[str, Any] = {"norm": threat.norm, "eps": threat.eps, "attack": visible(attack.name)}
    how |= {"attack_hash": visible(attack.hash), "seed": record.seed}
    how |= {"flags": visible(" ".join(record.flag_names))} if record.flags else {}
    yield _result(record, robust, visible(f"robust accuracy ({record.setting})"), how)
    if record.external is not None:
        yield Result(
            dataset_type=visible(data.name),
            dataset_name=visible(data.name),
            dataset_args={"n_examples": data.n, "sha256": visible(data.sha256)},
            metric_name="robust accuracy (best known)",
            metric_value=record.external.robust_acc,
            metric_args=how | {"source": visible(record.external.source)},
        )


def _result(record: EvaluationRecord, found: Estimate, name: str, how: dict[str, Any]) -> Result:
    data = record.data
    return Result(
        dataset_type=visible(data.name),
        dataset_name=visible(data.name),
        dataset_args={"n_examples": data.n, "sha256": visible(data.sha256)},
        metric_name=name,
        metric_value=found.value,
        metric_args=how | {"low": found.low, "high": found.high, "n": found.n},
    )
