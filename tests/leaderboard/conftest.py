"""Folders of records with the evidence that belongs to them."""

from dataclasses import replace

import numpy as np
import pytest

from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import accuracies
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.records import DataEntry, run_paths, write_record


@pytest.fixture
def with_evidence(tmp_path, make_record):
    """Return a function that writes a record of these verdicts and its evidence, and its path.

    ``robust`` says of each example whether it stayed robust; ``examples`` are their places.
    """

    def write(name, robust, *, out=tmp_path, examples=None, training=(None, ""), **changes):
        robust = np.asarray(robust, dtype=bool)
        n = len(robust)
        record = make_record(name, n=n, **changes)
        record = replace(
            record,
            data=replace(changes.get("data", DataEntry("cifar10", n, "d" * 64)), n=n),
            model=replace(record.model, training_seed=training[0], recipe_sha256=training[1]),
        )
        broken_by = np.where(robust, "", "apgd-ce")
        label = np.zeros(n, dtype=int)
        places = np.arange(n) if examples is None else np.asarray(examples)
        evidence = Evidence(
            record.run.hash, places, label, label, np.where(robust, 0, 1), broken_by
        ).to_bytes()
        record = replace(
            record,
            measures=accuracies(record.components, broken_by.tolist()),
            evidence_sha256=sha256_of(evidence),
        )
        paths = run_paths(out, record.run)
        write_atomically(paths.evidence, evidence)
        write_record(record, paths.record)
        return paths.record

    return write


@pytest.fixture
def firsts():
    """Return a function that makes verdicts: the first so many of ``n`` stay robust."""

    def make(count, n=100):
        return np.arange(n) < count

    return make
