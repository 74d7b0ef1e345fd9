import json
from pathlib import Path

import numpy as np
import pytest

from clbench.analysis.result import Accuracy
from clbench.analysis.store import load, save
from clbench.schema.errors import RecordError, StorageError

ROOT = Path(__file__).parents[2]
MODELS = ("simclr_st", "simclr_at")


@pytest.fixture
def saved(make_analysis, tmp_path):
    """A comparison on the disk, with a figure that is none."""
    return save(make_analysis(MODELS), tmp_path, {"figures/one.png": b"picture"})


def test_what_was_saved_is_read_again(saved, tmp_path):
    again = load(tmp_path)
    assert again.record == saved.record
    assert len(again.matrices) == len(saved.matrices) == 3 * 2 + 3 + 1
    for one, other in zip(again.matrices, saved.matrices, strict=True):
        assert one[:3] == other[:3]
        assert (one.similarity.rows, one.similarity.columns) == (
            other.similarity.rows,
            other.similarity.columns,
        )
        assert np.array_equal(one.similarity.values, other.similarity.values)
        assert np.array_equal(one.similarity.high, other.similarity.high)
        assert one.similarity.n == 100


def test_the_matrices_are_found_by_the_documented_keys(saved, tmp_path):
    with np.load(tmp_path / "matrices.npz", allow_pickle=False) as arrays:
        comparisons = {comparison for comparison, *_ in arrays["matrices"].tolist()}
        assert comparisons == set(saved.record.comparisons)
        row = ["adversarial-clean", "simclr_at", "simclr_at", "simclr_at", ""]
        assert row in arrays["matrices"].tolist()
        pair = "simclr_at adversarial x simclr_at clean"
        assert arrays[f"{pair}/values"].shape == (6, 6)
        assert (arrays[f"{pair}/low"] < arrays[f"{pair}/high"]).all()
        assert arrays[f"{pair}/left_out"].shape == (4, 6, 6)
        assert arrays["simclr_at clean/layers"].tolist()[-1] == "logits"
        assert set(arrays["simclr_at clean/reasons"].tolist()) == {""}


def test_the_description_names_every_other_file_with_its_hash(saved, tmp_path):
    described = json.loads((tmp_path / "probe.json").read_text())
    assert set(described["files"]) == {
        *("matrices.npz", "summary.csv", "similarities.csv", "figures/one.png")
    }
    assert (tmp_path / "figures" / "one.png").read_bytes() == b"picture"
    assert list(described) == list(saved.record.__dataclass_fields__)


def test_the_same_comparison_gives_the_same_bytes(make_analysis, tmp_path):
    for place in ("a", "b"):
        save(make_analysis(MODELS), tmp_path / place, {})
    for name in ("matrices.npz", "summary.csv", "probe.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_layer_probes_are_a_table(make_analysis, tmp_path):
    rows = (Accuracy("simclr_at", "pool", "adaptive", 0.5, 0.4, 0.6, 100),)
    save(make_analysis(MODELS, accuracies=rows), tmp_path, {})
    assert (tmp_path / "probe_accuracy.csv").read_text() == (
        "model,tap,score,value,low,high,n,reason\nsimclr_at,pool,adaptive,0.5,0.4,0.6,100,\n"
    )


def test_matrices_of_another_run_are_refused(saved, tmp_path):
    (tmp_path / "matrices.npz").write_bytes(b"other")
    with pytest.raises(RecordError, match=r"matrices\.npz is not the file that probe\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema_version": 1', "is cut off or no JSON"),
        ('{"schema_version": 99}', "has schema version 99, this clbench reads 1 and 2 and 3"),
        ("[]", "has schema version None"),
        ('{"schema_version": 1}', "is damaged: comparison lacks protocol"),
    ],
)
def test_a_damaged_description_is_named(saved, tmp_path, content, message):
    (tmp_path / "probe.json").write_text(content)
    with pytest.raises(RecordError, match=message):
        load(tmp_path)


def test_a_folder_without_a_comparison_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"probe\.json cannot be read: No such file"):
        load(tmp_path)


def test_missing_matrices_are_named(saved, tmp_path):
    (tmp_path / "matrices.npz").unlink()
    with pytest.raises(RecordError, match=r"matrices\.npz cannot be read"):
        load(tmp_path)


def test_a_place_that_is_no_folder_is_named(make_analysis, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        save(make_analysis(MODELS), tmp_path / "file", {})
