"""Files that are no evaluation records, given for one: what they are is said, and nothing else."""

import json

import numpy as np
import pytest

from clbench.leaderboard.other_files import check_is_record
from clbench.leaderboard.per_class import read_with_evidence
from clbench.schema.errors import RecordError
from clbench.schema.record_files import run_paths, write_record

PROBE = {"schema_version": 2, "models": [], "measure": "cka", "estimator": "biased"}
OTHER_FILES = {
    "net.py": (b"import torch\n", "Python source"),
    "mine.toml": (b"seed = 1\n", "a protocol or a recipe"),
    "leaderboard.csv": (b"rank,model\n", "a table"),
    "events.jsonl": (b'{"event": "record", "schema_version": 2}\n', "a list of events"),
    "notes.txt": (b"", "text"),
    "README.md": (b"# me\n", "text"),
    "curves.png": (b"\x89PNG", "a figure"),
    "weights.safetensors": (b"\x08\0\0\0\0\0\0\0{}", "weights"),
    "images.parquet": (b"PAR1", "images and labels"),
    "empty.json": (b"", "no JSON"),
    "text.json": (b"hello", "no JSON"),
    "list.json": (b"[1, 2]", "no JSON"),
    "cut.json": (b'{"mine": ', "no JSON"),
    "mine.json": (b'{"mine": 1}', "JSON of another kind"),
    "probe.json": (json.dumps(PROBE).encode(), "the record of clbench probe"),
    "run.json": (
        b'{"recipe": {}, "selected": {}, "weights_sha256": "", "schema_version": 1}',
        "the record of a training",
    ),
    "findings.json": (b'{"schema_version": 1, "findings": []}', "the findings of clbench probe"),
    "no_suffix": (b"\0\1", "no JSON"),
}
ARCHIVES = {
    ("x", "y"): "images and labels",
    ("matrices",): "matrices of clbench probe",
    ("label", "broken_by"): "the evidence of a record",
    ("label", "broken_by", "about"): "the progress of an evaluation",
    ("other",): "an archive",
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_another_file_is_named_and_nobody_is_told_to_lose_it(tmp_path, name):
    content, what = OTHER_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError) as refused:
        read_with_evidence(tmp_path / name)
    assert str(refused.value) == (
        f"'{tmp_path / name}' is {what}, no evaluation record; "
        "give one, such as results/records/.../NAME.json"
    )
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("names", ARCHIVES)
def test_archives_are_told_apart_by_their_arrays(tmp_path, names):
    np.savez(tmp_path / "some.npz", **dict.fromkeys(names, np.zeros(1)))
    with pytest.raises(RecordError, match=rf"some.npz' is {ARCHIVES[names]}, no evaluation record"):
        check_is_record(tmp_path / "some.npz")


@pytest.fixture
def record(make_record, tmp_path):
    """The path of a record."""
    made = make_record()
    paths = run_paths(tmp_path / "results", made.run)
    write_record(made, paths.record)
    return paths.record


def test_evidence_leads_to_its_record(record):
    evidence = record.parents[3] / "evidence" / record.relative_to(record.parents[2])
    evidence.parent.mkdir(parents=True)
    np.savez(evidence.with_suffix(".npz"), broken_by=np.array([""]), label=np.zeros(1))
    with pytest.raises(RecordError) as refused:
        check_is_record(evidence.with_suffix(".npz"))
    assert str(refused.value).endswith(
        f"is the evidence of a record, no evaluation record; give {record}"
    )


def test_a_folder_leads_to_a_record_in_it(record, tmp_path):
    wanted = rf"is a folder; give a record in it, such as {record}"
    for folder in (record.parent, record.parents[2], record.parents[3]):
        with pytest.raises(RecordError, match=wanted):
            read_with_evidence(folder)
    with pytest.raises(RecordError, match=r"is a folder; give one, such as results/records/"):
        check_is_record(tmp_path)


def test_a_record_is_one_whole_or_damaged_wherever_it_lies(record, tmp_path):
    whole = record.read_bytes()
    check_is_record(record)
    for content in (whole, whole[:-30], whole.replace(b'"seed"', b'"sead"')):
        (tmp_path / "copy.json").write_bytes(content)
        check_is_record(tmp_path / "copy.json")
    for content in (b"", b"{}", b"[]", b"{"):
        record.write_bytes(content)
        with pytest.raises(RecordError, match=r"^record .*again with --restart$") as refused:
            read_with_evidence(record)
        assert "delete" not in str(refused.value)
