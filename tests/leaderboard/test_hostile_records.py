"""Whatever stands in a record: it is shown, or the file is named in a line."""

import json

import numpy as np
import pytest
from leaves import leaves, put

from clbench.leaderboard import table
from clbench.leaderboard.check import check
from clbench.leaderboard.formats import as_latex, as_markdown, rows
from clbench.schema.dataclass_io import checksum_of
from clbench.schema.errors import RecordError
from clbench.schema.record_files import read_records, run_paths, write_record

VALUES = {
    "null": None,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "huge": 1e308,
    "negative": -1,
    "true": True,
    "400 digits": 10**400,
    "65 bits": 2**65,
    "text": "eight",
    "zero division": "1/0",
    "long": "1" * 10_000,
    "half a character": "\udcff",
    "escape": "\x1b]0;x\x07\n",
    "formula": "=1+1",
    "markup": "[/x]",
    "list": [],
    "table": {},
    "nested": [[[[[[{"a": [[]]}]]]]]],
}
"""What no honest run writes, or may write where a text is wanted."""


@pytest.fixture
def stored(make_record, tmp_path):
    record = make_record()
    path = run_paths(tmp_path, record.run).record
    write_record(record, path)
    return path


def shown_or_named(folder, path):
    """Say whether every reader shows the record, or names its file in a single line."""
    readers = (
        table.build,
        lambda out: [form(rows(read_records(out))) for form in (as_markdown, as_latex)],
    )
    for read in readers:
        try:
            read(folder)
        except RecordError as error:
            message = str(error)
            assert str(path) in message
            assert "\n" not in message or "\\n" not in message
            assert len(message) < 600
    csv = folder / table.CSV_NAME
    return not csv.exists() or len(csv.read_text().splitlines()) == 2


@pytest.mark.parametrize("value", VALUES)
def test_any_value_in_any_place_is_shown_or_named(stored, tmp_path, value):
    whole = json.loads(stored.read_text())
    del whole["checksum"]
    tried = 0
    for place in leaves(whole):
        content = json.loads(json.dumps(whole))
        put(content, place, VALUES[value])
        try:
            content["checksum"] = checksum_of(content)
        except ValueError:
            content["checksum"] = "0" * 64
        stored.write_text(json.dumps(content), encoding="utf-8")
        (tmp_path / table.CSV_NAME).unlink(missing_ok=True)
        assert shown_or_named(tmp_path, stored), place
        tried += 1
    assert tried > 60


TEXTS = {
    "empty": b"",
    "no JSON": b"[1,",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 400 digits": b"1" * 400,
    "an exponent": b"1e999999999",
    "not a number": b"NaN",
    "twice": b'{"schema_version": 2, "schema_version": 2}',
    "a list": b"[]",
    "a text": b'"record"',
    "UTF-16": '{"schema_version": 2}'.encode("utf-16"),
    "half a character": b'{"schema_version": "\\udcff"}',
    "zeros": bytes(1000),
    "another version": b'{"schema_version": 99}',
    "a version of text": b'{"schema_version": "2"}',
    "a version that is a list": b'{"schema_version": [2]}',
    "a byte order mark": b'\xef\xbb\xbf{"schema_version": 2}',
}


@pytest.mark.parametrize("text", TEXTS)
def test_any_file_is_named_in_a_line(stored, tmp_path, text):
    stored.write_bytes(TEXTS[text])
    with pytest.raises(RecordError, match=stored.name):
        table.build(tmp_path)
    (problem,) = [one for one in map(str, check(tmp_path).problems) if ".csv" not in one]
    assert str(stored) in problem
    assert "\n" not in problem
    assert len(problem) < 600


@pytest.mark.parametrize("name", ["x" * 400, "é" * 200, "/" * 300, "..", "a/../../b", "nul\x00"])
def test_the_file_of_any_name_lies_in_its_folder(make_record, tmp_path, name):
    record = make_record(name)
    path = run_paths(tmp_path, record.run).record
    write_record(record, path)
    assert path.resolve().is_relative_to(tmp_path.resolve() / "records")
    assert [one.model.name for one in read_records(tmp_path)] == [name]


def test_the_evidence_of_no_examples_is_named(stored, tmp_path):
    evidence = tmp_path / "evidence" / stored.relative_to(tmp_path / "records")
    evidence = evidence.with_suffix(".npz")
    evidence.parent.mkdir(parents=True)
    empty = dict.fromkeys(("index", "label", "clean_pred", "adv_pred"), np.zeros(0, np.int64))
    np.savez(evidence, identity="", broken_by=np.zeros(0, "U1"), **empty)
    assert check(tmp_path).problems
