"""Records with evidence that belongs to them, in a folder."""

from dataclasses import replace

import numpy as np
import pytest

from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import accuracies
from clbench.schema.attack_spec import attack_hash
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import run_paths, write_record

N = 40
"""Examples of each: 30 are right, of which 12 are broken."""


@pytest.fixture
def put(tmp_path, make_record):
    """Return a function that writes a record and its evidence below a folder, and its path."""

    def write(name="a", **changes):
        record = make_record(name, **changes)
        record = replace(record, protocol="custom", data=replace(record.data, n=N))
        hashed = attack_hash(record.attack.name, record.attack.parameters)
        record = replace(record, attack=replace(record.attack, hash=hashed))
        broken_by = np.array(["apgd-ce"] * 10 + ["square"] * 2 + [""] * 18 + ["clean"] * 10)
        label = np.arange(N) % 10
        evidence = Evidence(
            identity=record.run.hash,
            index=np.arange(N),
            label=label,
            clean_pred=np.where(np.arange(N) < 30, label, (label + 1) % 10),
            adv_pred=np.where(broken_by == "", label, (label + 1) % 10),
            broken_by=broken_by,
        ).to_bytes()
        measures = tuple(accuracies(record.components, broken_by.tolist()))
        record = replace(record, measures=measures, evidence_sha256=sha256_of(evidence))
        record = replace(record, flags=(RaisedFlag("square_improves", 2.0, 1.0),), unreliable=True)
        paths = run_paths(tmp_path, record.run)
        write_atomically(paths.evidence, evidence)
        write_record(record, paths.record)
        return paths.record

    return write
