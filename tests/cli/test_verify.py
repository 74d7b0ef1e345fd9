"""``clbench verify``: what is told, in which order, and what ends with which status."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from clbench.evaluation.evidence import read_evidence
from clbench.leaderboard.table import build
from clbench.schema.dataclass_io import checksum_of
from clbench.schema.files import sha256_of
from clbench.schema.record_files import (
    evidence_of,
    read_record,
    record_files,
    run_paths,
    write_record,
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Results of two networks of the zoo on 24 digits."""
    import clbench

    out = tmp_path_factory.mktemp("honest") / "results"
    for model in ("simclr_at", "supervised_st"):
        clbench.evaluate(model, attack="pgd,steps=3", n_examples=24, probe=False, out=out)
    return out


@pytest.fixture
def results(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "results")


def forged(out, change):
    """Change the first record as somebody would who mends its checksum; return its path."""
    path = record_files(out)[0]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content | {"checksum": checksum_of(content)}))
    build(out)
    return path


def better(content):
    one = next(one for one in content["measures"] if one["name"] == "robust_acc")
    one["value"] = 1.0


def lines(text):
    return text.rstrip("\n").splitlines()


def test_a_folder_that_holds_is_said_to_hold_and_the_cost_is_told_first(clbench, results):
    done = clbench("verify", results)
    assert done.status == 0
    assert re.fullmatch(
        r"clbench: level 1, files: 2 records with evidence, 0\.0 MB to read\n", done.err
    )
    assert lines(done.out) == ["2 records, 0 problems up to level 1", "not checked: nothing"]


def test_one_record_is_verified_by_itself(clbench, results):
    done = clbench("verify", record_files(results)[0])
    assert done.status == 0
    assert "1 record, 0 problems up to level 1" in done.out


def test_a_folder_of_archives_may_be_named_whatever_the_default_protocol_is(
    clbench, results, tmp_path
):
    record = record_files(results)[0]
    assert clbench("verify", record, "--data-dir", tmp_path).status == 0


def test_what_does_not_hold_is_a_line_with_file_field_found_and_expected(clbench, results):
    path = forged(results, better)
    done = clbench("verify", results)
    assert done.status == 2
    _, line, *more = lines(done.err)
    assert not more
    assert line.startswith(f"clbench: {path}: measures.robust_acc is 1 of 24, expected 0.")
    assert line.endswith("of 24 by its evidence")
    assert "2 records, 1 problem up to level 1" in done.out


def test_the_check_of_the_leaderboard_is_level_one(clbench, results):
    forged(results, better)
    verified = json.loads(clbench("verify", results, "--json").out)
    checked = json.loads(clbench("leaderboard", "check", "--out", results, "--json").out)
    assert verified == checked
    assert not verified["holds"]
    (problem,) = verified["problems"]
    assert problem["level"] == 1
    assert set(problem) == {"level", "file", "field", "found", "expected"}


def test_level_two_asks_the_network_of_a_record(clbench, results):
    done = clbench("verify", results, "--level", "2")
    assert done.status == 0, done.err
    one, two = lines(done.err)
    assert one.startswith("clbench: level 1, files:")
    assert re.match(r"clbench: level 2, re-scoring: \d+ forward passes .* about \d+ s", two)
    assert "2 records, 0 problems up to level 2" in done.out


def test_an_audit_says_what_it_drew_and_what_follows(clbench, results):
    record = record_files(results)[0]
    how = ("--audit", "9", "--nonce", "mine", "--attack", "pgd,steps=2")
    done = clbench("verify", record, *how)
    assert done.status == 0, done.err
    assert re.search(r"level 3, audit: at most [\d,]+ forward .* nonce mine", lines(done.err)[-1])
    digest = read_record(record).evidence_sha256
    pattern = (
        r": pgd broke (\d+) of 9 examples drawn from the (\d+) that are claimed to be robust: it "
        r"breaks at most [\d.]+ % of them, at 95 % \(nonce mine, evidence "
        + digest
        + r", seed \d+\)"
    )
    assert re.search(pattern, done.out)
    again = json.loads(clbench("verify", record, *how, "--json").out)["audits"]
    assert again == json.loads(clbench("verify", record, *how, "--json").out)["audits"]
    other = clbench("verify", record, "--audit", "9", "--attack", "pgd,steps=2", "--json")
    (drawn,) = json.loads(other.out)["audits"]
    assert drawn["nonce"] != "mine"
    assert drawn["seed"] != again[0]["seed"]


def test_records_without_certificates_hold_and_it_is_said(clbench, results):
    path = record_files(results)[0]
    record, place = read_record(path), evidence_of(path, results)
    bare = replace(read_evidence(place, record.evidence_sha256), certificates=None)
    place.write_bytes(bare.to_bytes())
    write_record(replace(record, evidence_sha256=sha256_of(bare.to_bytes())), path)
    build(results)
    done = clbench("verify", results, "--level", "2")
    assert done.status == 0
    assert lines(done.out)[0].startswith("1 of 2 records have no certificates, so that what is br")


REFUSED = {
    "no folder": (("nowhere",), "there is no record or folder 'nowhere'; give"),
    "a level that there is not": (("{out}", "--level", "4"), "--level must be .* from 1 to 3"),
    "no level": (("{out}", "--level", "one"), "--level must be"),
    "nobody drawn": (("{out}", "--audit", "0"), "--audit must be"),
    "an audit at level 1": (("{out}", "--level", "1", "--audit", "9"), "level must be 3 where"),
    "a model at level 1": (("{out}", "--level", "1", "--model", "m"), "level must be 2 where"),
    "no attack": (("{out}", "--attack", "autoatack"), "did you mean 'autoattack'"),
    "one model for two records": (("{out}", "--model", "simclr_at"), "model must be of one record"),
    "no device": (("{out}", "--level", "2", "--device", "cuda:77"), "--device must"),
    "two places of data": (
        ("{out}", "--data", "a.npz", "--data-dir", "{out}"), "--data-dir has no effect beside"
    ),
    "evidence": (("{evidence}",), "is the evidence of a record, no evaluation record; give"),
    "the table": (("{out}/leaderboard.csv",), "no evaluation record"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_verified_is_refused_in_a_line(clbench, results, case):
    words, said = REFUSED[case]
    evidence = evidence_of(record_files(results)[0], results)
    done = clbench("verify", *(word.format(out=results, evidence=evidence) for word in words))
    assert done.status == 2
    assert re.search(said, lines(done.err)[-1])
    assert "Traceback" not in done.err


def test_a_record_that_lies_alone_is_told_where_it_belongs(clbench, results, tmp_path):
    alone = tmp_path / "alone.json"
    alone.write_bytes(record_files(results)[0].read_bytes())
    done = clbench("verify", alone)
    assert done.status == 2
    assert "lies in no folder called records, which its evidence is beside; give" in done.err


EVIL = "from pathlib import Path\nPath('ran').touch()\ndef make():\n    raise RuntimeError\n"
NAMES = [
    "evil.py:make",
    "mine=evil.py:make",
    "evil:make",
    "timm:local-dir:/x",
    "timm:../x",
    "evil.py",
]


@pytest.mark.parametrize("name", NAMES)
def test_code_that_a_record_names_is_not_run(clbench, results, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    old = record_files(results)[0]
    record, place = read_record(old), evidence_of(old, results)
    evidence = read_evidence(place, record.evidence_sha256)
    for tag in ("digits", ""):
        shutil.rmtree(results)
        model = replace(record.model, name=name, tag=tag)
        renamed = replace(record, model=model)
        bound = replace(evidence, identity=renamed.run.hash).to_bytes()
        paths = run_paths(results, renamed.run)
        paths.evidence.parent.mkdir(parents=True)
        paths.evidence.write_bytes(bound)
        write_record(replace(renamed, evidence_sha256=sha256_of(bound)), paths.record)
        build(results)
        assert clbench("verify", results).status == 0
        done = clbench("verify", results, "--level", "2")
        assert done.status == 2
        assert "is of its maker's own code or weights" in lines(done.err)[-1]
        assert not (tmp_path / "ran").exists()


def test_level_one_loads_no_torch(results):
    code = (
        "import sys, clbench; "
        f"found = clbench.verify({str(results)!r}); "
        "print(found.holds, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
