import errno
import json
import os
from dataclasses import replace

import pytest

from clbench.schema.dataclass_io import checksum_of
from clbench.schema.errors import RecordError, StorageError
from clbench.schema.estimate import undefined
from clbench.schema.files import write_atomically
from clbench.schema.flags import RaisedFlag
from clbench.schema.record_files import read_record, read_records, run_paths, write_record
from clbench.testing.damage import flips


@pytest.fixture
def stored(tmp_path, make_record):
    path = tmp_path / "simclr_at.json"
    write_record(make_record(), path)
    return path


def test_a_record_comes_back_as_it_was(tmp_path, make_record):
    record = make_record(
        flags=(RaisedFlag("square_improves", 3.0, 1.5), RaisedFlag("dynamic")), unreliable=True
    )
    write_record(record, tmp_path / "one.json")
    assert read_record(tmp_path / "one.json") == record


def test_an_undefined_measure_is_null_in_the_file(tmp_path, make_record):
    record = make_record(measures=(undefined("cka_pool", 3, "fewer than 4 examples"),))
    write_record(record, tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text())["measures"][0]["value"] is None
    again = read_record(tmp_path / "one.json").measures[0]
    assert str(again.value) == "nan"
    assert again.reason == "fewer than 4 examples"


def test_a_record_cut_off_is_named(stored):
    stored.write_text(stored.read_text()[:200])
    with pytest.raises(RecordError, match=r"^record .*simclr_at.json is cut off or no JSON"):
        read_record(stored)


@pytest.mark.parametrize("version", [0, 4, "1", None])
def test_an_unknown_schema_version_is_refused(stored, version):
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"schema_version": version}))
    with pytest.raises(
        RecordError, match=r"has schema version .*, this clbench reads 1 and 2 and 3; up"
    ):
        read_record(stored)


def damaged(content, change):
    match change:
        case "lost":
            del content["seed"]
        case "added":
            content["colour"] = "red"
        case "ill typed":
            content["data"]["n"] = "many"
        case "ill typed measure":
            content["measures"][0]["value"] = "high"
        case "no table":
            content["model"] = []
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lost", "record lacks seed"),
        ("added", r"unknown field of record 'colour'; known: attack, .*, \.\.\."),
        ("ill typed", "record.data.n must be a whole number, got 'many'"),
        ("ill typed measure", r"record.measures\[0\].value must be a number, got 'high'"),
        ("no table", r"record.model must be a table, got \[\]"),
    ],
)
def test_a_damaged_field_is_named(stored, change, message):
    content = damaged(json.loads(stored.read_text()), change)
    stored.write_text(json.dumps(content | {"checksum": checksum_of(content)}))
    with pytest.raises(RecordError, match=rf"is damaged: {message}; run its evaluation again"):
        read_record(stored)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere.json cannot be read: No such file"):
        read_record(tmp_path / "nowhere.json")


PARTS = ["weights", "files", "data", "eps", "attack", "backend", "seed", "precision", "batch_size"]


@pytest.mark.parametrize("part", PARTS)
def test_what_decides_the_verdicts_decides_the_identity(make_record, part):
    run = make_record().run
    other = {
        "weights": lambda: replace(run, model=replace(run.model, weights_sha256="0" * 64)),
        "data": lambda: replace(run, data=replace(run.data, sha256="0" * 64)),
        "eps": lambda: replace(run, threat_model=replace(run.threat_model, eps="4/255")),
        "attack": lambda: replace(run, attack=replace(run.attack, hash="0" * 12)),
        "seed": lambda: replace(run, seed=1),
        "files": lambda: replace(run, model=replace(run.model, files={"net.py": "0" * 64})),
        "backend": lambda: replace(run, attack=replace(run.attack, backend="native")),
        "precision": lambda: replace(run, precision="bfloat16"),
        "batch_size": lambda: replace(run, batch_size=1),
    }[part]()
    assert other.hash != run.hash


def test_what_does_not_decide_the_verdicts_leaves_the_identity(make_record):
    again = make_record(wall_s=99.0, created="2027-01-01T00:00:00Z", commit="")
    assert again.run.hash == make_record().run.hash


def test_every_run_of_a_model_has_a_file_of_its_own(tmp_path, make_record):
    records = [make_record(), make_record(eps="4/255"), make_record(precision="bfloat16")]
    for record in records:
        write_record(record, run_paths(tmp_path, record.run).record)
    for record in records:
        path = run_paths(tmp_path, record.run).record
        assert path.name == f"simclr_at~{record.run.hash}.json"
        assert read_record(path) == record
    assert len(read_records(tmp_path)) == 3


def test_two_files_of_one_run_are_refused(tmp_path, make_record):
    record = make_record()
    path = run_paths(tmp_path, record.run).record
    write_record(record, path)
    write_record(record, path.with_name("copy.json"))
    with pytest.raises(RecordError, match=r"copy.json and .* of one run; move one of them away"):
        read_records(tmp_path)


def test_a_record_without_an_attack_is_a_record(tmp_path, make_record):
    record = replace(make_record(), threat_model=None, attack=None)
    path = run_paths(tmp_path, record.run).record
    write_record(record, path)
    assert read_record(path) == record
    assert path.parent == tmp_path / "records" / "cifar10" / "clean"
    assert record.setting == "no attack"


def test_a_record_of_the_first_schema_is_read_as_unbound(tmp_path, make_record):
    record = replace(make_record(), schema_version=1, evidence_sha256="")
    write_record(record, tmp_path / "old.json")
    assert "checksum" not in json.loads((tmp_path / "old.json").read_text())
    assert read_record(tmp_path / "old.json") == record
    assert not record.is_bound


FLIPS = 400


def test_no_flipped_bit_of_a_record_goes_unnoticed(stored):
    data = stored.read_bytes()
    for _, damaged in flips(data, FLIPS):
        stored.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"simclr_at.json"):
            read_record(stored)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("eps", "1/0", "eps must read like"), ("norm", "L7", "norm must be one of")],
)
def test_a_threat_model_that_cannot_be_is_named(stored, field, value, message):
    content = json.loads(stored.read_text())
    content["threat_model"][field] = value
    stored.write_text(json.dumps(content | {"checksum": checksum_of(content)}))
    with pytest.raises(RecordError, match=f"is damaged: .*{message}"):
        read_record(stored)


def test_a_model_name_with_a_path_stays_inside_the_folder(tmp_path, make_record):
    run = make_record("../../nets/net.py:make net").run
    assert run_paths(tmp_path, run).record.parent == tmp_path / "records" / "cifar10" / "Linf"


def test_a_failed_write_keeps_the_old_file_and_leaves_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"^cannot write .*file: No space left on device; free"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"^cannot write .*one.json: (Not a directory|File exists)"
    ):
        write_atomically(tmp_path / "file" / "one.json", b"")


def test_what_is_told_of_preprocessing_and_files_leaves_identities_and_older_files_as_they_are(
    make_record, tmp_path
):
    record = make_record()
    told = replace(record.model, preprocessing="normalised by ...", file_sha256="a" * 64)
    assert replace(record, model=told).run.hash == record.run.hash
    write_record(record, tmp_path / "old.json")
    text = (tmp_path / "old.json").read_text()
    assert "preprocessing" not in text
    assert "file_sha256" not in text
    write_record(replace(record, model=told), tmp_path / "new.json")
    assert read_record(tmp_path / "new.json").model == told
