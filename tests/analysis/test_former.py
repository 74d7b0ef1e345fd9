"""A second comparison into the folder of a first: the same again, refused, or in its place."""

from dataclasses import replace

import pytest

from clbench.analysis.former import check_folder, discard_former
from clbench.analysis.run import compare_models
from clbench.analysis.store import save
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.records import DataEntry, ThreatEntry

MODELS = ("simclr_st", "simclr_at")
OTHER = DataEntry("other", 100, "e" * 64)
CHANGES = {
    "images": {"data": OTHER},
    "training images": {"training": OTHER},
    "threat model": {"threat_model": ThreatEntry("Linf", "4/255")},
    "comparisons": {"comparisons": ("clean-clean",)},
    "layers": {"layers": ("stem",)},
    "measure": {"estimator": "biased"},
    "pooling": {"pooling": "spatial"},
    "seed": {"seed": 1},
}
NO_CHANGES = {
    "device": "cuda",
    "wall_s": 9.0,
    "versions": {},
    "commit": "",
    "created": "",
    "files": {"a": "b"},
    "protocol": "custom",
}


@pytest.fixture
def saved(make_analysis, tmp_path):
    """A comparison on the disk, with a figure."""
    return save(make_analysis(MODELS), tmp_path, {"figures/clean-clean.png": b"picture"})


@pytest.mark.parametrize("what", CHANGES)
def test_another_comparison_is_refused_and_what_differs_is_named(saved, tmp_path, what):
    with pytest.raises(BadValueError) as refused:
        check_folder(tmp_path, replace(saved.record, **CHANGES[what]))
    assert str(refused.value) == (
        f"{tmp_path} holds a probe with other {what} (of simclr_st, simclr_at); "
        "give another --out, or replace it with --restart"
    )


def test_other_models_and_attacks_are_other_comparisons(saved, tmp_path):
    wanted = replace(saved.record, models=saved.record.models[:1])
    with pytest.raises(BadValueError, match="with other models "):
        check_folder(tmp_path, wanted)
    attack = replace(saved.record.attack, hash="b" * 12)
    with pytest.raises(BadValueError, match="with other models and attack "):
        check_folder(tmp_path, replace(wanted, attack=attack))


@pytest.mark.parametrize("name", NO_CHANGES)
def test_the_same_comparison_elsewhere_or_later_is_the_same(saved, tmp_path, name):
    check_folder(tmp_path, replace(saved.record, **{name: NO_CHANGES[name]}))


def test_a_folder_without_a_comparison_takes_any(saved, tmp_path):
    check_folder(tmp_path / "new", saved.record)
    (tmp_path / "probe.json").write_text("{")
    with pytest.raises(RecordError, match=rf"run clbench probe --out {tmp_path} --restart$"):
        check_folder(tmp_path, saved.record)


def test_only_files_of_a_comparison_are_removed(saved, tmp_path):
    mine = [tmp_path / "figures" / "mine.png", tmp_path / "notes.txt"]
    for path in mine:
        path.write_text("mine")
    discard_former(tmp_path, ["matrices.npz"])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"probe.json", "matrices.npz", "figures/mine.png", "notes.txt"}


def test_a_second_run_is_refused_before_it_attacks_and_replaces_where_told(tmp_path):
    given = {"n_examples": 8, "attack_steps": 1, "out": tmp_path, "comparisons": ["clean-clean"]}
    first = compare_models(["simclr_st"], **given)
    assert (tmp_path / "figures" / "clean-clean.png").exists()
    before = (tmp_path / "matrices.npz").read_bytes()
    with pytest.raises(BadValueError, match="holds a probe with other models "):
        compare_models(["simclr_at"], **given)
    assert (tmp_path / "matrices.npz").read_bytes() == before
    assert compare_models(["simclr_st"], **given).record.files == first.record.files
    second = compare_models(["simclr_at"], **given, figures=False, restart=True)
    assert (tmp_path / "matrices.npz").read_bytes() != before
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert files == {"probe.json", *second.record.files}
