"""Whatever stands in a record or its evidence: verify tells of it in lines, or is silent."""

import json
from dataclasses import replace

import numpy as np
import pytest
from frauds import N
from leaves import leaves, put

import clbench
from clbench.leaderboard.table import build
from clbench.schema.dataclass_io import checksum_of
from clbench.schema.errors import ClbenchError
from clbench.schema.files import sha256_of
from clbench.schema.record_files import evidence_of, write_record

VALUES = {
    "null": None, "infinite": float("inf"), "huge": 1e308, "minus one": -1, "zero": 0,
    "true": True, "65 bits": 2**65, "64 bits": 2**63 - 1, "text": "eight", "empty": "",
    "escape": "\x1b]0;x\x07\n", "half a character": "\udcff", "list": [], "table": {},
    "zero division": "1/0", "one": 1, "a tenth": "1/10", "norm": "L1", "autoattack": "autoattack",
}  # fmt: skip


def told(verified):
    lines = [*map(str, verified.problems), *verified.remarks]
    assert all("\n" not in line for line in lines)
    return lines


def altered(forger, place, value):
    """Write the record with another value in a place, its checksum mended; say whether one can."""
    content = json.loads(json.dumps(forger.content))
    put(content, place, value)
    try:
        content["checksum"] = checksum_of(content)
    except ValueError:
        return False
    forger.path.write_text(json.dumps(content), encoding="utf-8")
    return True


@pytest.mark.parametrize("value", VALUES)
def test_any_value_in_any_place_of_a_record(honest, forge, value):
    forger = forge(honest())
    forger.content.pop("checksum")
    tried = 0
    for place in leaves(forger.content):
        if altered(forger, place, VALUES[value]):
            told(clbench.verify(forger.out))
            tried += 1
    assert tried > 60 or value in ("infinite", "half a character")


@pytest.mark.parametrize("value", ["minus one", "zero", "64 bits", "text", "a tenth", "norm"])
def test_any_value_in_a_record_that_the_network_is_asked_about(
    honest, forge, value, made, monkeypatch
):
    monkeypatch.chdir(made)
    forger = forge(honest())
    names = ["seed", "batch_size", "precision", "wall_s", "device", "versions", "flags"]
    places = [
        *((name,) for name in names), ("data", "n"), ("data", "name"), ("model", "tag"),
        ("threat_model", "norm"), ("threat_model", "eps"), ("counts", "forward"),
    ]  # fmt: skip
    for place in places:
        forger.content = {k: v for k, v in forger.content.items() if k != "checksum"}
        before = json.loads(json.dumps(forger.content))
        put(forger.content, place, VALUES[value])
        try:
            record = replace(forger.record, evidence_sha256="")
        except ClbenchError:
            forger.content = before
            continue
        data = replace(forger.evidence, identity=record.run.hash).to_bytes()
        evidence_of(forger.path, forger.out).write_bytes(data)
        write_record(replace(record, evidence_sha256=sha256_of(data)), forger.path)
        build(forger.out)
        told(clbench.verify(forger.path, level=2, model="net.py:make", data="images.npz"))
        forger.content = before


ARRAYS = {
    "a scalar": np.array(1),
    "empty": np.zeros(0),
    "one": np.zeros(1, int),
    "text": np.array(["x"]),
    "floats": np.zeros(N),
    "no numbers": np.full(N, np.nan),
    "whole": np.zeros(N, int),
    "negative": np.full(N, -5),
    "large": np.full(N, 2**62),
    "unsigned": np.full(N, 2**63, np.uint64),
    "a table": np.zeros((N, 5)),
    "of no class": np.zeros((8, 0)),
    "infinite": np.full((8, 5), np.inf),
    "an image": np.zeros((1, 1, 8, 8), np.int8),
    "flat images": np.zeros((N, 0, 8, 8), np.int8),
    "names": np.full(N, "apgd-ce"),
    "digests": np.zeros((N, 32), np.uint8),
    "truths": np.ones(N, bool),
}
NAMES = [
    "identity", "index", "label", "clean_pred", "adv_pred", "broken_by", "logits", "adversarial",
    *(f"certificate_{name}" for name in ("kind", "at", "coded", "scale", "exact_at", "exact",
                                         "digests")),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_array_in_any_place_of_evidence(honest, forge, name, made, monkeypatch):
    monkeypatch.chdir(made)
    forger, lines = forge(honest()), []
    place = evidence_of(forger.path, forger.out)
    with np.load(place) as file:
        arrays = {key: file[key] for key in file.files}
    for what, array in ARRAYS.items():
        np.savez(place, **arrays | {name: array})
        record = replace(forger.record, evidence_sha256=sha256_of(place.read_bytes()))
        write_record(record, forger.path)
        build(forger.out)
        lines += told(clbench.verify(forger.out))
        given = {"level": 2, "model": "net.py:make", "data": "images.npz"}
        if what in ("whole", "negative", "names", "an image", "infinite", "truths"):
            lines += told(clbench.verify(forger.path, **given))
    assert lines
