"""What can be found out about records without a network."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from clbench.attacks.grammar import JOIN
from clbench.evaluation.evidence import Evidence, read_evidence
from clbench.evaluation.verdicts import accuracies
from clbench.leaderboard.check import check
from clbench.leaderboard.table import build
from clbench.leaderboard.upgrade import upgrade
from clbench.schema.attack_spec import attack_hash
from clbench.schema.dataclass_io import checksum_of
from clbench.schema.errors import RecordError
from clbench.schema.estimate import proportion
from clbench.schema.files import sha256_of, write_atomically
from clbench.schema.flags import raised
from clbench.schema.record_files import (
    evidence_of,
    read_record,
    record_files,
    run_paths,
    write_record,
)
from clbench.schema.records import Counts
from clbench.testing.damage import flips

N = 40


def evidence_for(record):
    """Thirty of forty are right, ten are broken by the first attack, two by the second."""
    label = np.arange(N) % 10
    clean_pred = np.where(np.arange(N) < 30, label, (label + 1) % 10)
    broken_by = np.array(["apgd-ce"] * 10 + ["square"] * 2 + [""] * 18 + ["clean"] * 10)
    adv_pred = np.where(broken_by == "", label, (label + 1) % 10)
    return Evidence(record.run.hash, np.arange(N), label, clean_pred, adv_pred, broken_by)


@pytest.fixture
def bound(make_record):
    """Return a factory of records and evidence that belong together."""

    def make(name="a", **changes):
        record = make_record(name, **changes)
        record = replace(record, data=replace(record.data, n=N))
        name = JOIN.join(record.attack.parameters)
        hashed = attack_hash(name, record.attack.parameters)
        attack = replace(record.attack, name=name, hash=hashed)
        record = replace(record, attack=attack, protocol="custom", counts=Counts(10**6, 10**6))
        broken_by = evidence_for(record).broken_by.tolist()
        measures = (*accuracies(record.components, broken_by), proportion("cka_stage4", 30, N))
        record = replace(
            record, measures=measures, flags=(raised("square_improves", 2, 1.0),), unreliable=True
        )
        evidence = evidence_for(record)
        return replace(record, evidence_sha256=sha256_of(evidence.to_bytes())), evidence

    return make


@pytest.fixture
def folder(tmp_path, bound):
    def fill(*pairs):
        for record, evidence in pairs:
            paths = run_paths(tmp_path, record.run)
            write_atomically(paths.evidence, evidence.to_bytes())
            write_record(record, paths.record)
        build(tmp_path)
        return tmp_path

    return fill


def test_sound_records_have_no_problems_and_tell_what_was_not_checked(folder, bound):
    checked = check(folder(bound("a"), bound("b")))
    assert (checked.n_records, checked.problems, checked.unbound) == (2, (), ())
    assert checked.not_checked == ("cka_stage4",)


def test_a_folder_without_records_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"^no records under .*; run clbench eval --out"):
        check(tmp_path)


def falsify(out, change):
    """Change a record, mend its checksum, and build the CSV anew, as somebody would on purpose."""
    (path,) = record_files(out)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content | {"checksum": checksum_of(content)}))
    build(out)
    return check(out).problems


def measure(content, name):
    return next(one for one in content["measures"] if one["name"] == name)


FALSE = {
    "robust": (
        lambda c: measure(c, "robust_acc").update(value=0.5),
        "measures.robust_acc is 0.5 of 40, expected 0.45 of 40 by its evidence",
    ),
    "clean": (lambda c: measure(c, "clean_acc").update(value=1.0), "clean_acc is 1 of 40"),
    "after": (lambda c: measure(c, "acc_after_apgd-ce").update(value=0.6), "acc_after_apgd-ce is"),
    "interval": (lambda c: measure(c, "robust_acc").update(high=0.99), "interval of measures"),
    "count": (lambda c: measure(c, "robust_acc").update(n=400), "robust_acc is 0.45 of 400"),
    "lost": (lambda c: c["measures"].remove(measure(c, "robust_acc")), "robust_acc is missing"),
    "flag": (
        lambda c: c.update(flags=[]),
        "flags.square_improves is not raised, expected 2.0 above 1.0 by its evidence",
    ),
    "steps": (
        lambda c: c["attack"]["parameters"]["square"].update(n_queries=9),
        "attack.hash is .*, expected .* by its parameters",
    ),
    "eps": (lambda c: c["threat_model"].update(eps="16/255"), "its name is of another run"),
    "precision": (lambda c: c.update(precision="bfloat16"), "its name is of another run"),
    "evidence": (lambda c: c.update(evidence_sha256="0" * 64), "is not the one that its record"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), FALSE.values(), ids=FALSE)
def test_a_falsified_record_is_found_although_the_csv_was_built_anew(
    folder, bound, change, problem
):
    problems = falsify(folder(bound()), change)
    assert any(re.search(problem, str(one)) for one in problems), problems


def test_records_that_swap_their_evidence_are_both_found(folder, bound):
    out = folder(bound("a"), bound("b"))
    one, other = (evidence_of(path, out) for path in record_files(out))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    problems = check(out).problems
    assert (
        len([line for line in problems if "is not the one that its record names" in str(line)]) == 2
    )


def test_evidence_with_other_verdicts_is_found_although_all_hashes_were_mended(folder, bound):
    record, evidence = bound()
    broken_by = evidence.broken_by.copy()
    broken_by[0] = ""
    forged = replace(evidence, broken_by=broken_by)
    record = replace(record, evidence_sha256=sha256_of(forged.to_bytes()))
    problems = check(folder((record, forged))).problems
    lines = list(map(str, problems))
    assert any(
        "broken_by of example 0 is '', expected what broke it, as adv_" in one for one in lines
    )
    assert any("expected 0.475 of 40 by its evidence" in one for one in lines)


FLIPS = 40


def test_no_flipped_bit_of_evidence_goes_unnoticed(folder, bound):
    out = folder(bound())
    (path,) = (evidence_of(one, out) for one in record_files(out))
    data = path.read_bytes()
    for _, damaged in flips(data, FLIPS):
        path.write_bytes(damaged)
        (problem,) = check(out).problems
        assert str(path) in str(problem)


def test_a_lost_file_of_evidence_is_found(folder, bound):
    out = folder(bound())
    evidence_of(record_files(out)[0], out).unlink()
    (problem,) = check(out).problems
    assert "cannot be read: No such file" in str(problem)


def test_a_copy_of_a_record_is_found(folder, bound):
    out = folder(bound())
    (path,) = record_files(out)
    path.with_name("copy.json").write_bytes(path.read_bytes())
    problems = check(out).problems
    assert any("run is that of" in str(line) for line in problems)


def test_a_changed_csv_is_found(folder, bound):
    out = folder(bound())
    csv = out / "leaderboard.csv"
    csv.write_text(csv.read_text().replace("0.45", "0.95"))
    (problem,) = check(out).problems
    assert str(problem).startswith(f"{csv}: content is another, expected what its records give")


@pytest.fixture
def old(tmp_path, bound):
    """A record of version 0.1 with its evidence, under the names that they had."""
    record, evidence = bound()
    record = replace(
        record,
        schema_version=1,
        evidence_sha256="",
        attack=replace(record.attack, backend="clbench"),
    )
    path = tmp_path / "records" / "cifar10" / "Linf" / "a.json"
    write_record(record, path)
    write_atomically(evidence_of(path, tmp_path), replace(evidence, identity="").to_bytes())
    build(tmp_path)
    return tmp_path


def test_records_of_the_first_version_are_shown_as_unbound(old):
    checked = check(old)
    assert checked.problems == ()
    assert checked.unbound == (old / "records" / "cifar10" / "Linf" / "a.json",)


def test_an_upgrade_binds_records_to_their_evidence(old):
    before = read_record(record_files(old)[0])
    (path,) = upgrade(old)
    assert record_files(old) == [path]
    record = read_record(path)
    assert record.measures == before.measures
    assert record.attack.backend == "native"
    evidence = read_evidence(evidence_of(path, old), record.evidence_sha256)
    assert evidence.identity == record.run.hash
    assert (check(old).problems, check(old).unbound) == ((), ())
    assert upgrade(old) == []


def test_an_upgrade_refuses_a_record_that_its_evidence_contradicts(old):
    (path,) = record_files(old)
    content = path.read_text().replace('"value": 0.45', '"value": 0.85')
    path.write_text(content)
    with pytest.raises(
        RecordError, match=r"expected 0.45 of 40 by its evidence; move the record away and"
    ):
        upgrade(old)
    assert path.read_text() == content
