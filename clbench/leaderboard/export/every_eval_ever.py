"""Records in the schema of Every Eval Ever, 0.3.0: an aggregate file each, and one of its samples.

The schema is made for language models: an image goes into it by its place in the data, norm, eps
and attack as parameters of the metric.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import BY_NOTHING
from clbench.leaderboard.export.about import About
from clbench.leaderboard.export.interface import Written, full_name, is_packaged, known
from clbench.schema.errors import RecordError
from clbench.schema.estimate import Estimate
from clbench.schema.files import safe_name, sha256_of
from clbench.schema.record_files import AGAIN, run_paths
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import shown

SCHEMA = "0.3.0"

COLLECTION = "clbench"

_RESERVED = {"data", "con", "prn", "aux", "nul"}
_RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
"""What no folder of it may be called."""

_OWNERS = ("timm", "robustbench")
"""Who made a network that is called so before a colon."""


class _Run(NamedTuple):
    """How a record is called there."""

    evaluation_id: str
    model_id: str
    path: str
    """Of its files, without their endings."""

    @classmethod
    def of(cls, record: EvaluationRecord) -> "_Run":
        name = full_name(record)
        prefix = name.partition(":")[0]
        owner = COLLECTION if is_packaged(record) else "unknown"
        owner = prefix if prefix in _OWNERS else owner
        folder = safe_name(name.removeprefix(f"{owner}:"))
        folder = f"{folder}_" if folder.split(".")[0].lower() in _RESERVED else folder
        number = UUID(bytes=bytes.fromhex(sha256_of(record.run.hash.encode()))[:16], version=4)
        return cls(
            evaluation_id=f"{COLLECTION}/{folder}/{record.run.hash}",
            model_id=f"{owner}/{folder}",
            path=f"data/{COLLECTION}/{owner}/{folder}/{number}",
        )


def export(records: Sequence[EvaluationRecord], about: About, out: Path) -> Written:
    """Return the files of every record; the same records give the same bytes.

    Raises:
        RecordError: The evidence of a record is not the one that it names.
    """
    files = {}
    for record in records:
        run, evidence = _Run.of(record), _evidence(record, out)
        aggregate = _aggregate(record, run, about)
        if evidence is not None:
            rows = [json.dumps(row) for row in _samples(record, run, evidence)]
            content = "".join(f"{row}\n" for row in rows).encode()
            files[f"{run.path}_samples.jsonl"] = content
            aggregate["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": f"{run.path}_samples.jsonl",
                "hash_algorithm": "sha256",
                "checksum": sha256_of(content),
                "total_rows": len(rows),
            }
        files[f"{run.path}.json"] = f"{json.dumps(aggregate, indent=2)}\n".encode()
    return Written(files)


def _evidence(record: EvaluationRecord, out: Path) -> Evidence | None:
    path = run_paths(out, record.run).evidence
    if not record.is_bound and not path.exists():
        return None  # version 0.1 let records go about alone
    return read_evidence(path, record.evidence_sha256)


def _aggregate(record: EvaluationRecord, run: _Run, about: About) -> dict[str, Any]:
    model = record.model
    seconds = _seconds(record)
    return {
        "schema_version": SCHEMA,
        "evaluation_id": run.evaluation_id,
        "evaluation_timestamp": seconds,
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": "clbench",
            "source_type": "evaluation_run",
            "source_organization_name": about.organization,
            "evaluator_relationship": about.relationship,
        },
        "model_info": {
            "name": model.name,
            "id": run.model_id,
            "developer": run.model_id.partition("/")[0],
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": ("open_weights" if is_packaged(record) else "unknown"),
                "weights_sha256": model.weights_sha256,
                "source": model.source,
                "backbone": model.backbone,
            },
        },
        "eval_library": {
            "name": "clbench",
            "version": record.versions.get("clbench", "unknown"),
            "additional_details": {**record.versions, "commit": record.commit},
        },
        "evaluation_results": [_result(record, run, one) for one in _accuracies(record)],
    }


def _seconds(record: EvaluationRecord) -> str:
    """Return when a record was made, in seconds since 1970.

    Raises:
        RecordError: It does not say.
    """
    try:
        created = datetime.fromisoformat(record.created)
    except ValueError as error:
        raise RecordError(
            f"record of {shown(record.model.name)} must say when it was created, got "
            f"{shown(record.created)}; {AGAIN}"
        ) from error
    return str(int(created.replace(tzinfo=created.tzinfo or UTC).timestamp()))


def _accuracies(record: EvaluationRecord) -> list[Estimate]:
    found = (known(record, name) for name in ("clean_acc", "robust_acc"))
    return [one for one in found if one is not None]


def _result(record: EvaluationRecord, run: _Run, found: Estimate) -> dict[str, Any]:
    threat, attack = record.threat_model, record.attack
    attacked = found.name == "robust_acc"
    parameters: dict[str, Any] = {"seed": record.seed, "precision": record.precision}
    if attacked and threat and attack:
        parameters |= {"norm": threat.norm, "eps": threat.eps, "attack": attack.name}
        parameters |= {"attack_hash": attack.hash, "attack_backend": attack.backend}
    details = {"flags": " ".join(record.flag_names), "unreliable": str(record.unreliable).lower()}
    if attacked and record.external is not None:
        details["external_robust_acc"] = str(record.external.robust_acc)
        details["external_source"] = record.external.source
    return {
        "evaluation_result_id": _result_id(run, found),
        "evaluation_name": f"{record.data.name} {found.name}",
        "source_data": {
            "dataset_name": record.data.name,
            "source_type": "other",
            "additional_details": {"sha256": record.data.sha256, "n_examples": str(record.data.n)},
        },
        "metric_config": {
            "evaluation_description": (
                f"share of images classified rightly, clean and under {record.setting}"
                if attacked
                else "share of images classified rightly"
            ),
            "metric_id": found.name,
            "metric_unit": "proportion",
            "metric_parameters": parameters,
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": _score(found, details),
    }


def _score(found: Estimate, details: dict[str, str]) -> dict[str, Any]:
    interval = {"lower": found.low, "upper": found.high, "confidence_level": 0.95}
    return {
        "score": found.value,
        "details": details,
        "uncertainty": {
            "confidence_interval": interval | {"method": "Wilson score"},
            "num_samples": found.n,
        },
    }


def _result_id(run: _Run, found: Estimate) -> str:
    return f"{run.evaluation_id}/{found.name}"


def _samples(record: EvaluationRecord, run: _Run, of: Evidence) -> Iterator[dict[str, Any]]:
    """Yield a row for every example and accuracy, as the schema asks it."""
    robust = of.broken_by == BY_NOTHING
    predicted = {"clean_acc": of.clean_pred, "robust_acc": of.adv_pred}
    right = {"clean_acc": of.clean_pred == of.label, "robust_acc": robust}
    for found in _accuracies(record):
        answers = predicted[found.name].tolist()
        for place, answer in enumerate(answers):
            index, is_right = int(of.index[place]), bool(right[found.name][place])
            yield {
                "schema_version": SCHEMA,
                "evaluation_id": run.evaluation_id,
                "model_id": run.model_id,
                "evaluation_name": f"{record.data.name} {found.name}",
                "evaluation_result_id": _result_id(run, found),
                "sample_id": str(index),
                "interaction_type": "single_turn",
                "input": {
                    "raw": f"image {index} of {record.data.name} ({record.data.sha256})",
                    "reference": [str(of.label[place])],
                },
                "output": {"raw": [str(answer)]},
                "answer_attribution": [
                    {
                        "turn_idx": 0,
                        "source": "output.raw",
                        "extracted_value": str(answer),
                        "extraction_method": "exact_match",
                        "is_terminal": True,
                    }
                ],
                "evaluation": {"score": float(is_right), "is_correct": is_right},
                "metadata": {"broken_by": str(of.broken_by[place])},
            }
