import errno
import json
import os
from dataclasses import replace

import pytest

from clbench.schema.errors import RecordError, StorageError
from clbench.schema.estimate import undefined
from clbench.schema.files import write_atomically
from clbench.schema.records import places, read, write


@pytest.fixture
def stored(tmp_path, make_record):
    path = tmp_path / "simclr_at.json"
    write(make_record(), path)
    return path


def test_a_record_comes_back_as_it_was(tmp_path, make_record):
    record = make_record(flags=("square_improves",), unreliable=True)
    write(record, tmp_path / "one.json")
    assert read(tmp_path / "one.json") == record


def test_an_undefined_measure_is_null_in_the_file(tmp_path, make_record):
    record = make_record(measures=(undefined("cka_pool", 3, "fewer than 4 examples"),))
    write(record, tmp_path / "one.json")
    assert json.loads((tmp_path / "one.json").read_text())["measures"][0]["value"] is None
    again = read(tmp_path / "one.json").measures[0]
    assert str(again.value) == "nan"
    assert again.reason == "fewer than 4 examples"


def test_a_record_cut_off_is_named(stored):
    stored.write_text(stored.read_text()[:200])
    with pytest.raises(RecordError, match=r"^record .*simclr_at.json is cut off or no JSON"):
        read(stored)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_schema_version_is_refused(stored, version):
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"schema_version": version}))
    with pytest.raises(RecordError, match=r"has schema version .*, this clbench reads 1; upgrade"):
        read(stored)


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
        ("added", "unknown field of record 'colour'; known: attack, .*, wall_s"),
        ("ill typed", "record.data.n must be a whole number, got 'many'"),
        ("ill typed measure", r"record.measures\[0\].value must be a number, got 'high'"),
        ("no table", r"record.model must be a table, got \[\]"),
    ],
)
def test_a_damaged_field_is_named(stored, change, message):
    stored.write_text(json.dumps(damaged(json.loads(stored.read_text()), change)))
    with pytest.raises(RecordError, match=rf"is damaged: {message}; run its evaluation again"):
        read(stored)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere.json cannot be read: No such file"):
        read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("part", ["weights", "data", "eps", "attack", "seed"])
def test_what_decides_the_verdicts_decides_the_identity(make_record, part):
    run = make_record().run
    other = {
        "weights": lambda: replace(run, model=replace(run.model, weights_sha256="0" * 64)),
        "data": lambda: replace(run, data=replace(run.data, sha256="0" * 64)),
        "eps": lambda: replace(run, threat_model=replace(run.threat_model, eps="4/255")),
        "attack": lambda: replace(run, attack=replace(run.attack, hash="0" * 12)),
        "seed": lambda: replace(run, seed=1),
    }[part]()
    assert other.identity != run.identity


def test_what_does_not_decide_the_verdicts_leaves_the_identity(make_record):
    again = make_record(wall_s=99.0, created="2027-01-01T00:00:00Z", commit="")
    assert again.run.identity == make_record().run.identity


def test_another_run_of_a_model_is_kept(tmp_path, make_record):
    first, second = make_record(), make_record(eps="4/255")
    write(first, places(tmp_path, first.run).record)
    write(second, places(tmp_path, second.run).record)
    assert places(tmp_path, first.run).record.name == "simclr_at.json"
    assert read(places(tmp_path, first.run).record) == first
    assert read(places(tmp_path, second.run).record) == second


def test_a_model_name_with_a_path_stays_inside_the_folder(tmp_path, make_record):
    run = make_record("../../nets/net.py:make net").run
    assert places(tmp_path, run).record.parent == tmp_path / "records" / "cifar10" / "Linf"


def test_a_damaged_record_is_only_replaced_when_asked(tmp_path, make_record):
    run = make_record().run
    write_atomically(places(tmp_path, run).record, b"{")
    with pytest.raises(RecordError, match="is cut off or no JSON"):
        places(tmp_path, run)
    assert places(tmp_path, run, replace_damaged=True).record.name == "simclr_at.json"


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
