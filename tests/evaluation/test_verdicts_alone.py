"""The small part of evidence is read by itself, and held to what it must be."""

import io
import zipfile

import numpy as np
import pytest

from clbench.evaluation.evidence import Evidence, read_evidence, read_verdicts
from clbench.schema.errors import RecordError
from clbench.schema.files import sha256_of

N = 30
INDEX, BROKEN_BY = np.arange(N), np.array(["", "square", "clean"] * (N // 3))


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "evidence.npz"
        path.write_bytes(data)
        return path

    return write


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_they_are_those_of_the_whole_evidence(write):
    label = np.zeros(N, dtype=int)
    images = np.zeros((N, 1, 4, 4), dtype=np.float32)
    data = Evidence("", INDEX, label, label, label, BROKEN_BY, adversarial=images).to_bytes()
    path = write(data)
    for sha256 in ("", sha256_of(data)):
        found, whole = read_verdicts(path, sha256), read_evidence(path, sha256)
        assert found.index.tolist() == whole.index.tolist()
        assert found.broken_by.tolist() == whole.broken_by.tolist()


def test_images_are_not_unpacked(write):
    data = archive(index=INDEX, broken_by=BROKEN_BY)
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as more:
        more.writestr("adversarial.npy", b"no array at all")
    assert len(read_verdicts(write(file.getvalue()), "").index) == N


DAMAGED = {
    "nothing": b"",
    "text": b"index, broken_by",
    "cut": archive(index=INDEX, broken_by=BROKEN_BY)[:-30],
    "an array alone": archive(index=INDEX)[:80],
    "no verdicts": archive(index=INDEX),
    "no index": archive(broken_by=BROKEN_BY),
    "another length": archive(index=INDEX[1:], broken_by=BROKEN_BY),
    "a table for an index": archive(index=INDEX[None], broken_by=BROKEN_BY[None]),
    "a number for an index": archive(index=3, broken_by="square"),
    "an index of shares": archive(index=INDEX / 2, broken_by=BROKEN_BY),
    "an index of words": archive(index=BROKEN_BY, broken_by=BROKEN_BY),
    "verdicts of numbers": archive(index=INDEX, broken_by=INDEX),
    "verdicts of bytes": archive(index=INDEX, broken_by=BROKEN_BY.astype("S")),
    "objects": archive(index=INDEX, broken_by=BROKEN_BY.astype(object)),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_no_verdicts_is_named(write, case):
    path = write(DAMAGED[case])
    with pytest.raises(RecordError, match=r"^evidence .*evidence.npz is (cut off or )?damaged"):
        read_verdicts(path, "")
    with pytest.raises(RecordError, match="is not the one that its record names"):
        read_verdicts(path, "0" * 64)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"no.npz cannot be read: No such file or directory$"):
        read_verdicts(tmp_path / "no.npz", "")
