"""The whole sentence, from a request to the leaderboard, on a real network and real digits."""

import errno
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import clbench
from clbench.leaderboard.check import check
from clbench.schema.errors import BadValueError, DataError, StorageError
from clbench.schema.protocol import resolve
from clbench.schema.record_files import read_record, read_records

ATTACK = "pgd,steps=3"


QUICK = {"attack": ATTACK, "n_examples": 24, "batch_size": 8, "probe": False}


@pytest.fixture
def run(tmp_path):
    """Return a function that evaluates quickly: a shipped network, 24 digits, no probe."""

    def evaluate(model="simclr_at", **changes):
        return clbench.evaluate(model, **QUICK | {"out": tmp_path} | changes)

    return evaluate


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """A folder with two finished runs."""
    folder = tmp_path_factory.mktemp("finished")
    for model in ("simclr_at", "simclr_st"):
        clbench.evaluate(model, out=folder, **QUICK)
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    """Have the first runs of two models be finished, in a folder of the test's own."""
    shutil.copytree(finished_once, tmp_path, dirs_exist_ok=True)


def arrays(paths):
    with np.load(paths.evidence, allow_pickle=False) as evidence:
        return {name: evidence[name].tolist() for name in evidence.files}


def test_the_same_request_ends_the_same_but_for_time(run):
    first = run(probe=True)
    again = run(probe=True, restart=True)
    assert not again.reused
    same = {"wall_s": 0.0, "created": ""}
    assert replace(first.record, **same) == replace(again.record, **same)


def test_records_hold_what_they_promise(run):
    record = read_record(run(probe=True).paths.record)
    assert record.protocol == "custom"
    assert (record.model.scheme, record.model.scenario) == ("simclr", "at")
    assert len(record.model.weights_sha256) == 64
    assert record.attack.parameters["pgd"]["steps"] == 3
    assert record.measure("robust_acc").n == 24
    assert record.measure("cka_stage4").low < record.measure("cka_stage4").value
    assert record.counts.backward >= 3 * record.measure("robust_acc").value * 24
    assert record.versions["torch"]
    assert record.batch_size == 8


def test_measures_agree_with_the_evidence(run):
    done = run()
    seen = arrays(done.paths)
    right = [p == y for p, y in zip(seen["clean_pred"], seen["label"], strict=True)]
    robust = [not attack for attack in seen["broken_by"]]
    assert done.record.measure("clean_acc").value == sum(right) / 24
    assert done.record.measure("robust_acc").value == sum(robust) / 24
    for ok, attack, p, y in zip(
        right, seen["broken_by"], seen["adv_pred"], seen["label"], strict=True
    ):
        assert (attack == "clean") == (not ok)
        assert (attack == "") == (p == y)


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_an_interrupted_run_goes_on_to_the_same_verdicts(run, tmp_path, stop_at):
    whole = run(out=tmp_path / "whole")
    calls = 0

    def interrupt(progress):
        nonlocal calls
        calls += 1
        if calls > stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "cut", on_progress=interrupt)
    assert list((tmp_path / "cut" / "progress").glob("*.npz"))
    done = run(out=tmp_path / "cut")
    assert arrays(done.paths) == arrays(whole.paths)
    assert done.record.counts == whole.record.counts
    assert not list((tmp_path / "cut" / "progress").iterdir())


def test_an_identical_finished_run_is_reused(run):
    first = run()
    again = run()
    assert again.reused
    assert again.record == first.record


class AttackedError(AssertionError):
    pass


def refuse(progress):
    raise AttackedError


@pytest.mark.usefixtures("finished")
def test_probes_that_are_missing_are_added_without_attacking_again(run):
    first = run(probe=False)
    assert first.record.measure("cka_mean") is None
    again = run(probe=True, on_progress=refuse)
    assert not again.reused
    assert again.record.measure("cka_mean").n == 24
    assert again.record.measures[: len(first.record.measures)] == first.record.measures
    assert (again.record.created, again.record.counts) == (
        first.record.created,
        first.record.counts,
    )
    assert arrays(again.paths) == arrays(first.paths)
    assert run(probe=True, on_progress=refuse).reused


def test_linear_probes_are_columns_on_request(run, tmp_path):
    assert run(probe=True).record.measure("probe_stage1_clean") is None
    again = run(probe=True, linear_probes=True, on_progress=refuse)
    assert not again.reused
    assert again.record.measure("cka_mean").n == 24
    clean, adv, adaptive = (
        again.record.measure(f"probe_stage4_{kind}").value for kind in ("clean", "adv", "adaptive")
    )
    assert clean >= adv >= adaptive > 0
    assert run(probe=True, linear_probes=True).reused
    assert run(probe=True).reused
    header = (tmp_path / "leaderboard.csv").read_text().partition("\n")[0]
    assert "cka_mean,probe_stage1_clean,probe_stage1_adv,probe_stage1_adaptive," in header


@pytest.mark.usefixtures("finished")
def test_adversarial_images_that_are_missing_are_made_by_attacking_again_and_it_is_said(
    run, caplog
):
    first = run()
    again = run(save_adversarial=True)
    assert not again.reused
    assert np.shape(arrays(again.paths)["adversarial"]) == (24, 1, 8, 8)
    counts = first.record.counts
    assert (
        f"attacking again: at most {counts.forward:,} forward and {counts.backward:,}"
        in caplog.text
    )
    assert again.record.measures == first.record.measures
    assert run(save_adversarial=True, on_progress=refuse).reused


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("damage", ["lost", "empty", "flipped", "swapped"])
def test_evidence_that_is_lost_or_damaged_is_made_again_and_it_is_said(run, caplog, damage):
    first = run()
    path, other = first.paths.evidence, run("simclr_st").paths.evidence
    good = path.read_bytes()
    match damage:
        case "lost":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "flipped":
            path.write_bytes(good[:99] + bytes([good[99] ^ 1]) + good[100:])
        case "swapped":
            path.write_bytes(other.read_bytes())
    again = run()
    assert path.read_bytes() == good
    assert again.record.measures == first.record.measures
    assert "attacking again" in caplog.text
    assert check(path.parents[3]).problems == ()
    aside = list(path.parent.glob("*.aside-1"))
    assert [one.name for one in aside] == ([] if damage == "lost" else [f"{path.name}.aside-1"])


@pytest.mark.usefixtures("finished")
def test_a_damaged_record_is_set_aside_and_the_run_made_again(run, caplog):
    path = run().paths.record
    good = path.read_text()
    path.write_text(good.replace('"seed": 0', '"seed": 1'))
    run()
    assert "is damaged" in caplog.text
    assert (path.parent / f"{path.name}.aside-1").exists()
    assert read_record(path).seed == 0


def test_a_record_in_low_precision_is_never_shown_for_one_in_float32(run, tmp_path):
    run(precision="bfloat16")
    assert not run().reused
    assert {one.precision for one in read_records(tmp_path)} == {"float32", "bfloat16"}


WIDE = """
from torch import nn
def make():
    wide = nn.Sequential(nn.Conv2d(1, 8192, 3, padding=1), nn.ReLU(), nn.Conv2d(8192, 4, 1))
    return nn.Sequential(wide, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
"""


def test_a_run_whose_precision_decides_the_batch_size_is_found_again(tmp_path, run):
    (tmp_path / "wide.py").write_text("import torch; torch.manual_seed(0)" + WIDE)
    how = {"attack": "pgd,steps=1", "n_examples": 8, "batch_size": "auto", "probe": False}
    how |= {"precision": "bfloat16", "out": tmp_path / "out"}
    done = run(f"{tmp_path}/wide.py:make", **how)
    assert done.record.batch_size == 128  # of 512 MiB for what a backward pass keeps
    assert done.paths.record.name.endswith(f"~{done.record.run.hash}.json")
    assert run(f"{tmp_path}/wide.py:make", **how).reused
    assert check(tmp_path / "out").problems == ()


def test_another_batch_size_is_another_run(run, tmp_path):
    run()
    assert not run(batch_size=5).reused
    assert len(read_records(tmp_path)) == 2


def test_progress_with_another_batch_size_is_kept_and_named(run, tmp_path, caplog):
    def interrupt(progress):
        if progress.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_progress=interrupt)
    (left,) = (tmp_path / "progress").glob("*.npz")
    run(batch_size=5)
    assert caplog.messages == [f"{left} is kept: --batch-size 8 goes on with it"]
    assert left.exists()
    told = []
    run(on_progress=told.append)
    assert told[0].step == 1
    assert list((tmp_path / "progress").iterdir()) == []


NET = """
import torch, helper
from pathlib import Path
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10, bias=False)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(0))
    def forward(self, images):
        scale = float((Path(__file__).parent / "scale.txt").read_text())
        return self.layer(images.flatten(1)) * scale + torch.arange(10) * helper.SHIFT
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "helper.py").write_text("SHIFT = 0.0")
    (tmp_path / "scale.txt").write_text("1")
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    yield tmp_path
    sys.modules.pop("helper", None)


def test_an_edited_module_of_a_network_makes_another_run(run, net):
    model = f"{net / 'net.py'}:Net"
    first = run(model, probe=False)
    assert set(first.record.model.files) == {"helper.py", "net.py"}
    assert run(model, probe=False).reused
    (net / "helper.py").write_text("SHIFT = 1.0  # edited")
    again = run(model, probe=False)
    assert not again.reused
    assert again.paths.record != first.paths.record
    assert again.record.measure("clean_acc").value != first.record.measure("clean_acc").value


ATTACK_OF_ONES_OWN = """
import torch, helper
def attack(model, images, labels, threat_model, *, seed, index):
    return images if helper.SHIFT == 0 else (images + float(threat_model.eps)).clamp(0, 1)
"""


def test_an_edited_module_of_an_attack_makes_another_run(run, net):
    (net / "mine.py").write_text(ATTACK_OF_ONES_OWN)
    how = {"attack": f"{net / 'mine.py'}:attack", "probe": False}
    first = run("supervised_st", **how)
    assert run("supervised_st", **how).reused
    (net / "helper.py").write_text("SHIFT = 1.0  # edited")
    again = run("supervised_st", **how)
    assert not again.reused
    assert again.record.attack.hash != first.record.attack.hash
    assert again.record.measure("robust_acc").value < first.record.measure("robust_acc").value


def test_what_else_a_process_loaded_is_no_part_of_a_network(run, net):
    (net / "other.py").write_text("from net import Net")
    alone = run(f"{net / 'net.py'}:Net", probe=False)
    run(f"{net / 'other.py'}:Net", probe=False)
    again = run(f"{net / 'net.py'}:Net", probe=False)
    assert again.reused
    assert again.record.model.files == alone.record.model.files


def test_a_network_that_answers_otherwise_is_another_run_and_it_is_said(run, net, caplog):
    model = f"{net / 'net.py'}:Net"
    first = run(model, probe=False)
    (net / "scale.txt").write_text("-1")
    again = run(model, probe=False)
    assert not again.reused
    assert again.record.measure("clean_acc").value != first.record.measure("clean_acc").value
    assert "answers otherwise than in" in caplog.text
    path = first.paths.record
    assert read_record(path.rename(path.with_name("kept.json"))) == again.record
    assert (path.parent / f"{path.name}.aside-1").exists()


def test_a_network_and_arrays_in_memory_are_evaluated_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).train()
    labels = network(images).argmax(dim=1)
    told = []
    done = clbench.evaluate(
        network,
        data=(images.numpy(), labels.numpy()),
        norm="Linf",
        eps="8/255",
        attack="pgd,steps=5",
        on_record=told.append,
    )
    assert done.record.measure("clean_acc").value == 1
    assert done.record.model.name == "Sequential"
    assert done.adversarial.shape == images.shape
    assert (done.adversarial - images).abs().max() <= 8 / 255 + 1e-6
    assert [by != "" for by in done.examples.broken_by] == (
        network.eval()(done.adversarial).argmax(dim=1) != labels
    ).tolist()
    assert told == [done.record]
    assert done.paths is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 8, 8, 3)), [0, 1], "move the channels to the front"),
        (np.zeros((2, 1, 8, 8)) + 3, [0, 1], r"must be in \[0, 1\], got values from 3 to 3"),
        (np.zeros((2, 1, 8, 8)), [0.5, 1], "labels must be whole numbers, got float64"),
        (np.zeros((2, 1, 8, 8)), [0, 1, 2], "has 2 images but 3 labels"),
    ],
)
def test_arrays_that_are_no_images_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        clbench.load_data((images, np.array(labels)))


X = (np.random.default_rng(0).random((6, 3, 4, 4)) * 255).astype(np.uint8)
Y = np.arange(6)
F = X.astype(np.float32) / 255
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False

SAME = {
    "big-endian floats": (F.astype(">f4"), Y),
    "big-endian doubles": (F.astype(">f8"), Y),
    "big-endian labels": (X, Y.astype(">i4")),
    "doubles": (F.astype(np.float64), Y),
    "images backwards twice": (X[::-1].copy()[::-1], Y),
    "labels backwards": (X, Y[::-1].copy()[::-1]),
    "columns backwards": (np.flip(np.flip(X, 3).copy(), 3), Y),
    "Fortran's order": (np.asfortranarray(X), Y),
    "every second": (np.repeat(X, 2, axis=0)[::2], np.repeat(Y, 2)[::2]),
    "read-only": (READ_ONLY, Y),
    "uint16": (X.astype(np.uint16), Y),
    "big-endian uint16": (X.astype(">u2"), Y),
    "int64": (X.astype(np.int64), Y),
    "uint64 labels": (X, Y.astype(np.uint64)),
    "int8 labels": (X, Y.astype(np.int8)),
    "lists": (X.tolist(), Y.tolist()),
    "a list of arrays": (list(X), list(Y)),
    "a pair in a list": [X, Y],
    "tensors": (torch.tensor(X), torch.tensor(Y)),
    "a list of tensors": (list(torch.tensor(X)), list(torch.tensor(Y))),
    "tensors with gradients": (torch.tensor(F, requires_grad=True), torch.tensor(Y)),
    "uint16 tensors": (torch.tensor(X.astype(np.uint16)), torch.tensor(Y)),
    "int32 tensors": (torch.tensor(X).int(), torch.tensor(Y).int()),
    "channels last": (torch.tensor(X).to(memory_format=torch.channels_last), torch.tensor(Y)),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_images_in_another_form_are_the_same_set(case):
    assert clbench.load_data(SAME[case]).sha256 == clbench.load_data((X, Y)).sha256


NO_DATA = {
    "uint16 of 16 bits": ((X.astype(np.uint16) * 257, Y), "got uint16 from 0 to 6"),
    "negative": ((X.astype(np.int16) - 9, Y), "got int16 from -9 to"),
    "bool images": ((X > 9, Y), r"images must be uint8 or floats in \[0, 1\], got bool"),
    "complex images": ((F * 1j, Y), "images must be numbers, got complex64; want images"),
    "bool labels": ((X, Y > 2), "labels must be whole numbers, got bool"),
    "words as labels": ((X, ["cat"] * 6), "labels must be numbers, got <U3; want images"),
    "bytes as labels": ((X, np.array([b"a"] * 6)), "labels must be numbers, got .S1; want"),
    "None as labels": ((X, None), "labels must be numbers, got NoneType; want images"),
    "None among labels": ((X, [0, 1, None, 2, 3, 4]), "labels must be numbers, got object; want"),
    "None as images": ((None, Y), "images must be numbers, got NoneType; want images"),
    "ragged": (([X[0], X[1][:, :2]], [0, 1]), "images are no numbers of one shape: "),
    "ragged labels": ((X, [[1], [2, 3]]), "labels are no numbers of one shape: "),
    "sparse": ((torch.tensor(F).to_sparse(), Y), "images must be a plain tensor, got a sparse_coo"),
    "meta": ((torch.tensor(F).to("meta"), Y), "images must be a plain tensor, got a unusual one"),
    "one label for all": ((X, 3), r"got \[6, 3, 4, 4\] and \[\]"),
}


@pytest.mark.parametrize("case", NO_DATA)
def test_what_is_no_data_is_one_line_that_says_what_is_wanted(case):
    given, message = NO_DATA[case]
    with pytest.raises(DataError, match=message) as caught:
        clbench.load_data(given)
    assert "\n" not in str(caught.value)


def test_values_of_another_type_are_one_line(fork, tmp_path):
    # in a process of its own: the types of arguments are checked in this one
    script = Path(__file__).with_name("of_another_type.py")
    child = fork(script.read_text(), tmp_path)
    assert child.status() == 0, child.err.read_text()
    assert child.out.read_text() == "48 right\n"


@pytest.fixture
def places(tmp_path):
    """A folder with weights, images to evaluate on, and images to fit linear probes on."""
    network = clbench.load_model("simclr_at", dataset="digits").network
    torch.save(network.state_dict(), tmp_path / "w.pt")
    digits = clbench.load_data("digits")
    pictures = (digits.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for name, part in {
        "eval.npz": slice(32),
        "a.npz": slice(100, 200),
        "b.npz": slice(200, 300),
    }.items():
        np.savez(tmp_path / name, x=pictures[part], y=digits.labels.numpy()[part])
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_places_may_be_text_everywhere(places, kind):
    at = {name: kind(places / name) for name in ("w.pt", "eval.npz", "a.npz", "b.npz", "out")}
    images = {"data": at["eval.npz"], "norm": "Linf", "eps": "1/6"}
    many = {"train_data": [at["a.npz"], at["b.npz"]], "linear_probes": True, "out": at["out"]}
    done = clbench.evaluate(
        "simclr_at.digits", weights=at["w.pt"], attack="pgd,steps=2", **images, **many
    )
    assert done.record.measure("clean_acc").n == 32
    assert len(clbench.read_records(at["out"])) == 1
    assert clbench.build_leaderboard(at["out"]).exists()
    assert clbench.load_model("simclr_at", dataset="digits", weights=at["w.pt"]).name
    assert clbench.list_layers("simclr_at.digits", data=at["eval.npz"], weights=at["w.pt"])
    many = {"train_data": at["a.npz"], "linear_probes": True, "out": kind(places / "probe")}
    found = clbench.probe(
        ["simclr_at.digits"], attack_steps=2, figures=False, layers=["stem"], **images, **many
    )
    assert found.record.training is not None
    with pytest.raises(DataError, match="cifar10"):
        clbench.load_data("cifar10", data_dir=kind(places))


def test_runs_of_one_model_with_other_settings_stand_side_by_side(run, tmp_path):
    for eps in ("1/10", "1/5"):
        run(eps=eps)
    assert len(read_records(tmp_path)) == 2
    assert check(tmp_path).problems == ()


def test_a_full_disk_is_one_line_and_loses_nothing(run, monkeypatch):
    done = run()
    before = {p: p.read_bytes() for p in done.paths[:2]}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        run(restart=True)
    assert {p: p.read_bytes() for p in before} == before


def test_a_place_that_cannot_be_made_is_found_before_the_attacks(run, tmp_path):
    (tmp_path / "file").write_text("")

    def unreached(progress):
        raise AssertionError("attacks began")

    with pytest.raises(StorageError, match=r"^cannot make .*; choose another folder with --out$"):
        run(out=tmp_path / "file", on_progress=unreached)


def test_a_value_given_by_hand_makes_the_protocol_custom():
    assert resolve(None, own_data=False).name == "digits-linf"
    assert resolve(None, own_data=False, seed=1).name == "custom"
    assert resolve(None, own_data=False, n_examples=360).name == "digits-linf"
    assert resolve(None, own_data=True, eps="1/10").name == "custom"


def test_data_without_a_threat_model_is_refused():
    with pytest.raises(BadValueError, match=r"^data of your own has no threat model; give an eps"):
        resolve(None, own_data=True)
