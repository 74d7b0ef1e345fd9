"""Comparisons made by hand, whose every number is known."""

from dataclasses import replace

import numpy as np
import pytest

from clbench.analysis.comparisons import COMPARISONS, ComparedModel, plan_comparisons
from clbench.analysis.result import Analysis, Matrix
from clbench.probes.similarity.matrix import Axis, SimilarityMatrix
from clbench.schema.estimate import proportion
from clbench.schema.probe_record import SCHEMA_VERSION, ProbeRecord
from clbench.schema.records import AttackEntry, DataEntry, ModelEntry, ThreatEntry

LAYERS = ("stem", "stage1.0", "stage1.1", "stage2.0", "pool", "logits")


@pytest.fixture
def make_block():
    """Return a factory of blocks: the same value everywhere, or a matrix; groups add ``noise``."""

    def make(value, rows="a clean", columns="b clean", layers=LAYERS, noise=0.0, **changes):
        values = np.full((len(layers), len(layers)), float(value)) if np.isscalar(value) else value
        errors = noise * np.array([-1.0, 1.0, 0.5, -0.5])
        left_out = values + errors[:, None, None]
        axes = (Axis(name, tuple(layers), ("",) * len(layers)) for name in (rows, columns))
        return replace(
            SimilarityMatrix(*axes, values, left_out, 100, "cka", "debiased-minibatch"), **changes
        )

    return make


def entry(name):
    scheme, _, scenario = name.partition("_")
    known = scheme in ("simclr", "supcon", "supervised")
    sides = (scheme, scenario.partition("@")[0]) if known else ("", "")
    return ModelEntry(name, *sides, "resnet18", "cifar10", "f" * 64, "package")


@pytest.fixture
def make_analysis(make_block):
    """Return a factory of comparisons of models.

    Without controls, unless these are asked for. ``value`` maps a comparison and the two models to
    what their matrix holds everywhere.
    """

    def make(
        names, value=lambda comparison, rows, columns: 0.5, comparisons=(), noise=0.01, **changes
    ):
        models = tuple(entry(name) for name in names)
        wanted = plan_comparisons(
            [ComparedModel(m.name, m.scheme, m.scenario) for m in models],
            comparisons or [name for name, row in COMPARISONS.items() if not row.control],
        )
        matrices = []
        for comparison, rows, columns in wanted.matrices:
            similarity = make_block(
                value(comparison, rows.model, columns.model), rows.name, columns.name, noise=noise
            )
            similarity = replace(
                similarity,
                rows=replace(similarity.rows, against=rows.against),
                columns=replace(similarity.columns, against=columns.against),
            )
            matrices.append(Matrix(comparison, rows.model, columns.model, similarity))
        probed = ProbeRecord(
            schema_version=SCHEMA_VERSION,
            protocol="cifar10-linf",
            models=models,
            data=DataEntry("cifar10", 100, "d" * 64),
            training=None,
            pooling="",
            threat_model=ThreatEntry("Linf", "8/255"),
            attack=AttackEntry("pgd", "clbench", {"pgd": {"steps": 40}}, "a" * 12),
            comparisons=tuple(dict.fromkeys(matrix.comparison for matrix in matrices)),
            common=names[0],
            layers=(),
            measure="cka",
            estimator="debiased-minibatch",
            permutations=0,
            seed=0,
            device="cpu",
            wall_s=1.5,
            versions={"clbench": "0.1.0"},
            commit="c" * 40,
            created="2026-01-02T03:04:05Z",
            files={},
        )
        return replace(Analysis(probed, tuple(matrices)), **changes)

    return make


@pytest.fixture
def make_records(make_record):
    """Return a factory of records of models with these robust counts of 100, and these CKAs."""

    def make(right, cka=None):
        found = []
        for name, count in right.items():
            record = make_record(name, right=count, model=entry(name))
            columns = ("cka_stage4", "cka_pool", "cka_logits")
            extra = [proportion(c, round(100 * cka[name]), 100) for c in columns] if cka else []
            kept = [m for m in record.measures if not m.name.startswith("cka")]
            found.append(replace(record, measures=(*kept, *extra)))
        return found

    return make
