"""What findings are made from: a comparison of models, and the records of the same models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from pathlib import Path

from clbench.analysis.result import Analysis
from clbench.analysis.statistics import independent_difference, jackknife_difference, mean_of
from clbench.analysis.store import load
from clbench.analysis.tables import shared
from clbench.probes.layers import stage_ends
from clbench.probes.similarity.matrix import SimilarityMatrix
from clbench.probes.similarity.measures import CKA, SimilarityMeasure, find_measure
from clbench.probes.similarity.summaries import end_mean
from clbench.schema.errors import RecordError
from clbench.schema.estimate import Estimate, undefined
from clbench.schema.group import Group
from clbench.schema.names import SCENARIOS, SCHEMES, look_up
from clbench.schema.probe_record import ProbeRecord
from clbench.schema.record_files import read_records
from clbench.schema.records import EvaluationRecord, ModelEntry

END = "end"
"""The mean of pooled features and logits."""

STAGE = "last stage"

_COLUMNS: dict[str, tuple[str, ...]] = {
    STAGE: ("cka_stage4",),
    "pool": ("cka_pool",),
    "logits": ("cka_logits",),
    END: ("cka_pool", "cka_logits"),
}
"""Where records have the similarity at each place."""

PAIRED = "paired jackknife"
SEPARATE = "intervals combined as if independent"
"""How the intervals of two models make that of their difference."""


@dataclass(frozen=True, eq=False)
class FindingInputs:
    """The models, their records by name, and how they compare, where that was asked for.

    ``trained_at`` is the eps of the training of models, where it is known.
    """

    models: tuple[ModelEntry, ...]
    records: Mapping[str, EvaluationRecord]
    analysis: Analysis | None
    trained_at: Mapping[str, Fraction]

    @property
    def measure(self) -> SimilarityMeasure:
        """What similarities are of: the measure of the comparison, or that of the records."""
        return find_measure(self.analysis.record.measure) if self.analysis else CKA

    @property
    def schemes(self) -> list[str]:
        """The schemes that are known, in order."""
        return list(dict.fromkeys(model.scheme for model in self.models if model.scheme))

    @property
    def scheme_pairs(self) -> list[tuple[str, str]]:
        """All pairs of schemes."""
        return list(combinations(self.schemes, 2))

    @cached_property
    def measured(self) -> list[str]:
        """The models whose robust accuracy and whose similarity at the end are known."""
        both = (
            model.name
            for model in self.models
            if model.name in self.records and not math.isnan(self.similarity(model.name, END).value)
        )
        return list(both)

    @property
    def groups(self) -> dict[str, list[str]]:
        """The models that are correlated: all that are measured, and those that were attacked."""
        standard = {model.name for model in self.models if model.scenario == "st"}
        trained = [name for name in self.measured if name not in standard]
        return {"all models": self.measured, "without st": trained}

    @property
    def how(self) -> str:
        """How the interval of a difference is made."""
        return PAIRED if self.analysis else SEPARATE

    def model(self, scheme: str, scenario: str) -> str:
        """Return the model of a scheme and scenario, or "".

        Of several, it is the one that is called after them, otherwise the first.
        """
        of = [m.name for m in self.models if (m.scheme, m.scenario) == (scheme, scenario)]
        usual = f"{scheme}_{scenario}"
        return usual if usual in of else next(iter(of), "")

    def by_training_eps(self, scheme: str) -> dict[Fraction, str]:
        """Return the models of a scheme by the eps that they were trained with, in its order.

        Only models whose eps is known are there; of standard ones it is 0.
        """
        found: dict[Fraction, str] = {}
        for model in self.models:
            eps = self.trained_at.get(model.name, Fraction(0) if model.scenario == "st" else None)
            if eps is not None and model.scheme == scheme:
                found.setdefault(eps, model.name)
        return dict(sorted(found.items()))

    def robust_acc(self, model: str) -> Estimate:
        """Return the robust accuracy in the record of a model."""
        record = self.records.get(model)
        found = record.measure("robust_acc") if record else None
        return found or _none("robust_acc", f"no record of {model}")

    def matrix(self, comparison: str, rows: str, columns: str = "") -> SimilarityMatrix | None:
        """Return the matrix of a comparison for one model, or for two; None where there is none."""
        return self.analysis.find(comparison, rows, columns) if self.analysis else None

    def similarity(self, model: str, place: str) -> Estimate:
        """Return how alike a model sees clean and adversarial images at a place.

        Args:
            model: Its name.
            place: ``STAGE``, "pool", "logits", or ``END`` for the mean of the last two.
        """
        if self.analysis is None:
            return self._recorded(model, place)
        part = _part(self.matrix("adversarial-clean", model), place)
        return (
            part.estimate(place, end_mean)
            if isinstance(part, SimilarityMatrix)
            else _none(place, part)
        )

    def difference(self, more: str, less: str, place: str) -> Estimate:
        """Return the similarity of one model less that of another one."""
        if self.analysis is None:
            return independent_difference(
                place, self._recorded(more, place), self._recorded(less, place)
            )
        parts = [_part(self.matrix("adversarial-clean", name), place) for name in (more, less)]
        for part in parts:
            if isinstance(part, str):
                return _none(place, part)
        one, other = (part for part in parts if isinstance(part, SimilarityMatrix))
        return jackknife_difference(place, one, other, end_mean)

    def _recorded(self, model: str, place: str) -> Estimate:
        record = self.records.get(model)
        found = [record.measure(column) for column in _COLUMNS[place]] if record else []
        known = [estimate for estimate in found if estimate]
        return mean_of(place, known) if known else _none(place, "no CKA in its record")


def gather(
    records: Path,
    compared: Analysis | Path | None,
    *,
    dataset: str = "",
    trained_at: Mapping[str, Fraction] | None = None,
) -> FindingInputs:
    """Return what there is in a folder with records, and in a comparison or its folder.

    Only records that can be compared are taken: of one data set, threat model and attack, and of
    the networks that were compared; of several such groups, that of the most models. ``dataset``
    names the only data set that counts, "" for any.

    Raises:
        RecordError: There are no records, or a file cannot be read.
        UnknownNameError: ``trained_at`` has a model that is not there.
    """
    everything = records_of(records, dataset)
    analysis = load(compared) if isinstance(compared, Path) else compared
    chosen = comparable(everything, analysis.record if analysis else None)
    models = analysis.record.models if analysis else tuple(one.model for one in chosen.values())
    known = {model.name: model for model in models}
    eps = {look_up(known, name, "model").name: value for name, value in (trained_at or {}).items()}
    return FindingInputs(models, chosen, analysis, eps)


def records_of(folder: Path, dataset: str = "") -> list[EvaluationRecord]:
    """Return the records in a folder, only those of one data set where it is named.

    Raises:
        RecordError: There are none, or one cannot be read.
    """
    found = [one for one in read_records(folder) if dataset in ("", one.data.name)]
    if not found:
        of = f" of {dataset}" if dataset else ""
        raise RecordError(f"no records{of} under {folder}; run clbench eval --out {folder} first")
    return found


def recorded_models(folder: Path, dataset: str) -> list[str]:
    """Return the models that records of a data set are of, by scheme and scenario.

    Raises:
        RecordError: There are no records of the data set, or one cannot be read.
    """
    models = [one.model for one in comparable(records_of(folder, dataset)).values()]
    return [model.name for model in sorted(models, key=_order)]


def comparable(
    records: Sequence[EvaluationRecord], probed: ProbeRecord | None = None
) -> dict[str, EvaluationRecord]:
    """Return records by model that agree in data, threat model and attack.

    With the record of a comparison, only those of its networks, data set and threat model; the
    number of examples may be another one. Of several attacks, that with the most models is taken;
    where a model has several records, the first.
    """
    groups: dict[Group, dict[str, EvaluationRecord]] = {}
    for record in records:
        if probed is None or _is_of(record, probed):
            groups.setdefault(record.group, {}).setdefault(record.model.name, record)
    return max(groups.values(), key=len, default={})


def _order(model: ModelEntry) -> tuple[int, int, str]:
    schemes, scenarios = list(SCHEMES), list(SCENARIOS)
    scheme = schemes.index(model.scheme) if model.scheme in schemes else len(schemes)
    scenario = scenarios.index(model.scenario) if model.scenario in scenarios else len(scenarios)
    return scheme, scenario, model.name


def _is_of(record: EvaluationRecord, probed: ProbeRecord) -> bool:
    networks = {(model.name, model.identity_sha256) for model in probed.models}
    return (
        (record.model.name, record.model.identity_sha256) in networks
        and record.data.name == probed.data.name
        and record.threat_model == probed.threat_model
    )


def _part(similarity: SimilarityMatrix | None, place: str) -> SimilarityMatrix | str:
    """Return the part of a matrix that is a place, or why there is none."""
    if similarity is None:
        return "not compared: no adversarial-clean matrix"
    whole = shared(similarity)
    if place == END:
        return whole if len(whole.rows.layers) > 1 else "fewer than two layers"
    layer = next(reversed(stage_ends(list(whole.rows.layers))), "") if place == STAGE else place
    return (
        whole.take([layer]) if layer in whole.rows.layers else f"no layer called {layer or place!r}"
    )


def _none(place: str, reason: str) -> Estimate:
    return undefined(place, 0, reason)


def has_interval(estimate: Estimate) -> bool:
    """Tell whether there is a value, and an interval around it."""
    return not (math.isnan(estimate.value) or math.isnan(estimate.low))
