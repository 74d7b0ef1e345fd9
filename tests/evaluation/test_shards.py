"""A run that is cut into shards, wherever and however, is the run that was never cut."""

import io
import json
import logging
import os
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import clbench
from clbench.attacks.registry import check_can_be_cut, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.leftovers import leftovers
from clbench.schema.errors import BadValueError, ClbenchError, lines_of
from clbench.schema.files import seal, unseal
from clbench.schema.shard import Shard

N, CLASSES, TILE = 23, 5, 8
ATTACK = "apgd-ce,n_iter=5 + fab-t,n_iter=3,n_target_classes=2 + square,n_queries=30"
TIMES = {"wall_s", "created"}


class Net(nn.Sequential):
    """A small network whose class has a name."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Net(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, CLASSES)).eval()


@pytest.fixture(scope="module")
def images(network):
    torch.manual_seed(1)
    drawn = torch.rand(N, 1, 8, 8)
    labels = network(drawn).argmax(1)
    labels[::9] = (labels[::9] + 1) % CLASSES
    return make_image_set("drawn", drawn, labels, CLASSES)


@pytest.fixture(scope="module")
def run(network, images):
    """Return a function that evaluates the network, or another one."""

    def evaluate(out, *, model=network, data=images, **settings):
        given = {"eps": "1/40", "attack": ATTACK, "backend": "native", "batch_size": TILE}
        given |= {"seed": 3, "probe": False, "device": "cpu"}
        return clbench.evaluate(model, data=data, out=out, **(given | settings))

    return evaluate


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The run that was never cut."""
    return run(tmp_path_factory.mktemp("whole"))


def assert_same(found, expected):
    """Compare two runs: evidence to the byte, records but for their times."""
    assert found.paths.evidence.read_bytes() == expected.paths.evidence.read_bytes()
    for field in fields(expected.record):
        if field.name not in TIMES:
            assert getattr(found.record, field.name) == getattr(expected.record, field.name)


def test_every_component_and_no_component_breaks_something(whole):
    assert {"clean", "", "apgd-ce"} <= set(whole.examples.broken_by.tolist())
    assert 3 < (whole.examples.broken_by == "").sum() < 20


@pytest.mark.parametrize(("of", "apart"), [(1, False), (2, True), (3, False), (7, True)])
def test_shards_in_any_order_and_folder_merge_to_the_run(run, whole, tmp_path, of, apart):
    order = [(5 * k + 2) % of for k in range(of)]  # 5 is prime to all of these
    folders = [tmp_path / (str(number) if apart else "all") for number in order]
    for number, folder in zip(order, folders, strict=True):
        part = run(folder, shard=f"{number + 1}/{of}")
        assert part.shard == (number, of)
        assert part.record.data.n == len(part.examples) == len(range(number, N, of))
        assert part.examples.index.tolist() == list(range(number, N, of))
    (found,) = clbench.merge(list(dict.fromkeys(folders)))
    assert_same(found, whole)
    assert found.paths.record.is_relative_to(folders[0])
    assert not [path for folder in folders for path in (folder / "progress").iterdir()]
    assert (folders[0] / "leaderboard.csv").read_text().count("\n") == 2


def test_a_set_in_another_order_keeps_it(run, images, tmp_path):
    shuffled = images.select(torch.randperm(N))
    expected = run(tmp_path / "whole", data=shuffled)
    for number in (1, 2, 3):
        run(tmp_path / "cut", data=shuffled, shard=f"{number}/3")
    assert_same(clbench.merge(tmp_path / "cut")[0], expected)


class StopError(Exception):
    pass


def stopped(run, out, after, **settings):
    """Run until so many reports; return whether it came to its end."""
    told = 0

    def tell(_progress):
        nonlocal told
        told += 1
        if told == after:
            raise StopError

    try:
        run(out, on_progress=tell, **settings)
    except StopError:
        return False
    return True


CUTS = [(1, 2), (3, 2), (2, 5, 1), (2, 3, 2)]


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_a_run_that_is_cut_anew_goes_on_from_what_is_done(run, whole, tmp_path, cuts, caplog):
    *before, last = cuts
    for round_, of in enumerate(before):
        for number in range(of):
            stopped(run, tmp_path, 2 + number + round_, shard=f"{number + 1}/{of}")
    caplog.clear()
    for number in reversed(range(last)):
        run(tmp_path, shard=f"{number + 1}/{last}")
    if last not in before:
        assert f"this run was begun in {before[0]} shards" in caplog.text or before[0] == 1
        assert " and goes on in " in caplog.text
    assert_files_of(whole, clbench.merge(tmp_path)[0])


def assert_files_of(expected, found):
    """Compare two runs of which one repeated something: all but times and passes."""
    same = replace(found.record, counts=expected.record.counts)
    assert_same(replace(found, record=same), expected)


def test_what_is_finished_in_one_cut_is_not_attacked_in_another(run, whole, tmp_path, caplog):
    for number in (1, 2, 3):
        run(tmp_path, shard=f"{number}/3")
    for number in (2, 1):
        run(tmp_path, shard=f"{number}/2")
    assert_same(clbench.merge(tmp_path)[0], whole)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_run_in_one_piece_takes_up_shards_and_their_images(run, whole, tmp_path, caplog):
    run(tmp_path, shard="1/2", evidence="verdicts")
    found = run(tmp_path, save_adversarial=True)
    assert found.examples.broken_by.tolist() == whole.examples.broken_by.tolist()
    assert "this run was begun in 2 shards and goes on in one piece: of 23" in caplog.text
    assert found.record.counts.forward > whole.record.counts.forward  # their images are made again
    given = run(tmp_path / "other", save_adversarial=True)
    assert found.paths.evidence.read_bytes() == given.paths.evidence.read_bytes()
    assert not list((tmp_path / "progress").iterdir())


def test_restarting_a_shard_leaves_the_others(run, whole, tmp_path):
    run(tmp_path, shard="1/2")
    other = next((tmp_path / "progress").glob("*~1of2.npz"))
    before = other.stat().st_mtime_ns
    stopped(run, tmp_path, 4, shard="1/3")
    run(tmp_path, shard="2/2", restart=True)
    assert other.stat().st_mtime_ns == before
    assert not list((tmp_path / "progress").glob("*~1of3.npz"))
    assert_same(clbench.merge(tmp_path)[0], whole)


def test_a_finished_run_is_shown_to_a_shard_of_it(run, whole):
    out = whole.paths.progress.parents[1]
    found = run(out, shard="2/3")
    assert (found.reused, found.shard) == (True, None)
    assert found.record == whole.record
    assert not list((out / "progress").iterdir())


def test_a_shard_of_memory_alone_writes_nothing(run, whole):
    found = run(None, shard="2/3")
    assert found.paths is None
    assert found.examples.broken_by.tolist() == whole.examples.broken_by[1::3].tolist()


def test_columns_of_a_record_stay_when_its_shards_are_merged_again(run, whole, tmp_path):
    for number in (1, 2):
        run(tmp_path, shard=f"{number}/2")
    clbench.merge(tmp_path)
    probed = run(tmp_path, probe=True)
    assert probed.record.measure("cka_logits")
    for number in (1, 2):
        run(tmp_path, shard=f"{number}/2", restart=True)
    (found,) = clbench.merge(tmp_path)
    assert found.record.measures == probed.record.measures
    assert found.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()


def test_several_runs_are_merged_and_each_is_told(run, tmp_path):
    told = []
    for eps in ("1/40", "1/6"):
        for number in (1, 2):
            run(tmp_path, eps=eps, attack="pgd,steps=2", shard=f"{number}/2")
    done = clbench.merge(str(tmp_path), on_record=told.append)
    assert [one.record for one in done] == told
    assert {one.threat_model.eps for one in told} == {"1/40", "1/6"}
    assert (tmp_path / "leaderboard.csv").read_text().count("\n") == 3


# adversarial images


@pytest.fixture(scope="module")
def whole_with_images(run, tmp_path_factory):
    return run(tmp_path_factory.mktemp("images"), save_adversarial=True)


@pytest.mark.parametrize(("of", "apart"), [(1, False), (2, True), (3, False), (7, True)])
def test_merged_images_are_those_of_the_run(run, whole_with_images, tmp_path, of, apart):
    folders = [tmp_path / (str(number) if apart else "all") for number in range(of)]
    for number, folder in enumerate(folders):
        part = run(folder, shard=f"{number + 1}/{of}", save_adversarial=True)
        assert torch.equal(part.adversarial, whole_with_images.adversarial[number::of])
    (found,) = clbench.merge(list(dict.fromkeys(folders)))
    assert torch.equal(found.adversarial, whole_with_images.adversarial)
    assert_same(found, whole_with_images)
    assert not [path for folder in folders for path in (folder / "progress").iterdir()]
    again = run(folders[0], save_adversarial=True)
    assert again.reused


def test_a_finished_shard_gives_its_images_afterwards(run, whole_with_images, tmp_path):
    for number in (1, 2, 3):
        run(tmp_path, shard=f"{number}/3")
    for number in (1, 2):
        run(tmp_path, shard=f"{number}/2", save_adversarial=True)
    (found,) = clbench.merge(tmp_path)  # what broke an example made its image again, which counts
    assert found.paths.evidence.read_bytes() == whole_with_images.paths.evidence.read_bytes()


def test_images_that_a_shard_did_not_keep_are_named(run, whole, tmp_path, caplog):
    for number in (1, 2, 3):
        run(tmp_path, shard=f"{number}/3", save_adversarial=number == 2)
    (found,) = clbench.merge(tmp_path)
    assert found.adversarial is None
    assert "shards 1/3, 3/3 ran without" in caplog.text
    assert_same(found, whole)
    assert not list((tmp_path / "progress").iterdir())


@pytest.mark.parametrize("damage", [b"", b"x", "cut off", "of another data set"])
def test_damaged_images_are_refused_by_name(run, tmp_path, damage):
    for number in (1, 2):
        run(tmp_path, shard=f"{number}/2", attack="pgd,steps=2", save_adversarial=True)
    (path,) = (tmp_path / "progress").glob("*~2of2.npz.images")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 1, 8, 8)))
    changes = {"cut off": path.read_bytes()[:-9], "of another data set": seal(buffer.getvalue())}
    path.write_bytes(changes.get(damage, damage))
    with pytest.raises(ClbenchError, match=r"^the images of shard 2/2 in .* are damaged; run"):
        clbench.merge(tmp_path)
    assert part(tmp_path, 1, of=2).exists()
    run(tmp_path, shard="2/2", attack="pgd,steps=2", save_adversarial=True)
    assert clbench.merge(tmp_path)[0].adversarial is not None


def test_images_of_a_shard_go_with_it(run, tmp_path):
    run(tmp_path, shard="2/2", attack="pgd,steps=2", save_adversarial=True)
    of_all, mine = {"images of a run"}, {"shard 2/2", "images of shard 2/2"}
    assert {one.what for one in leftovers(tmp_path)} == of_all | mine
    run(tmp_path, shard="2/2", attack="pgd,steps=2", evidence="verdicts", restart=True)
    assert {one.what for one in leftovers(tmp_path)} == of_all | {"shard 2/2"}


# flags


class Softmax(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Blind(Net):
    """No gradient in a half of the pixel space."""

    def forward(self, x):
        bright = (x.mean((1, 2, 3)) > 0.5)[:, None].float()
        return super().forward(x * 1.0) * (1 - bright) + bright * super().forward(x).sign() * 9


class Loud(Net):
    """Logits that are too far apart for the cross-entropy, of some images."""

    def forward(self, x):
        return super().forward(x) * (1e6 * (x[:, :1, 0, 0] > 0.5) + 1)


class Faint(Net):
    def forward(self, x):
        return super().forward(x) * 1e-9


class Guess(Net):
    def forward(self, x):
        return super().forward(x).roll(2, 1)


class OfItsBatch(Net):
    def forward(self, x):
        return super().forward(x - x.mean(0))


@pytest.mark.parametrize("kind", [Softmax, Blind, Loud, Faint, Guess, OfItsBatch])
def test_the_flags_of_shards_are_those_of_the_run(run, network, tmp_path, kind):
    model, of = kind(*network).eval(), 3
    attack = "apgd-ce,n_iter=3 + square,n_queries=10"
    expected = run(tmp_path / "whole", model=model, attack=attack)
    for number in range(of):
        run(tmp_path / "cut", model=model, attack=attack, shard=f"{number + 1}/{of}")
    (found,) = clbench.merge(tmp_path / "cut")
    assert found.record.unreliable == expected.record.unreliable
    assert found.record.flags or kind in {Loud, Faint}
    if kind is OfItsBatch:  # its verdicts belong to batches, which the flag says
        assert "batch_dependent" in {*found.record.flag_names} & {*expected.record.flag_names}
    else:
        assert found.record.flags == expected.record.flags
        assert_same(found, expected)


# what is refused


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    for number in (1, 2, 3):
        run(out, attack="pgd,steps=2", shard=f"{number}/3")
    return out


@pytest.fixture
def shards(made, tmp_path):
    """A folder with the three shards of a run."""
    return Path(shutil.copytree(made, tmp_path / "a"))


def part(folder, number, of=3):
    (found,) = (folder / "progress").glob(f"*~{number}of{of}.npz")
    return found


def changed(path, **changes):
    """Write the same progress with other things said of itself."""
    with np.load(io.BytesIO(unseal(path.read_bytes()))) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["about"]))
    arrays["about"] = np.array(json.dumps(about | changes.pop("about", {})))
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays | changes))
    path.write_bytes(seal(buffer.getvalue()))


def lose(folder):
    part(folder, 2).unlink()
    return ["shard 2/3 of Net on drawn (pgd in Linf 1/40) is missing; run what is missing"]


def lose_two(folder):
    part(folder, 1).unlink()
    part(folder, 2).unlink()
    return ["shards 1/3, 2/3 of Net on drawn (pgd in Linf 1/40) are missing"]


def double(folder):
    shutil.copytree(folder, folder.with_name("b"))
    for number in (1, 3):
        part(folder.with_name("b"), number).unlink()
    return [f"shard 2/3 of Net on drawn (pgd in Linf 1/40) is there twice, in {part(folder, 2)}"]


def call_one_another(folder):
    shutil.copy(part(folder, 1), part(folder, 2))
    return [f"{part(folder, 2)} is not what its name says, but shard 1/3"]


def call_all_another_run(folder):
    for number in (1, 2, 3):
        path = part(folder, number)
        path.rename(path.with_name(f"Other~{path.name.partition('~')[2]}"))
    return [f"{part(folder, 1)} is not what its name says, but shard 1/3 of Net~"]


def cut_off(folder):
    path = part(folder, 3)
    path.write_bytes(path.read_bytes()[:-70])
    return [f"shard 3/3 in {path} is damaged; move it away and run it again"]


def flip(folder):
    path = part(folder, 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    return [f"shard 2/3 in {path} is damaged"]


def empty(folder):
    part(folder, 1).write_bytes(b"")
    return [f"shard 1/3 in {part(folder, 1)} is damaged"]


def of_another_torch(folder):
    made = {"clbench": clbench.__version__, "torch": "1.0", "device": "cpu"}
    changed(part(folder, 3), about={"made_with": made})
    return [f"shard 3/3 in {part(folder, 3)} was made with torch 1.0 instead of"]


def of_another_device(folder):
    made = {"clbench": clbench.__version__, "torch": torch.__version__, "device": "cuda"}
    changed(part(folder, 2), about={"made_with": made})
    return [f"shard 2/3 in {part(folder, 2)} was made with device cuda instead of cpu"]


def of_a_network_that_changed(folder):
    changed(part(folder, 2), logits=-torch.randn(8, CLASSES).numpy())
    return [f"shard 2/3 in {part(folder, 2)} was made of a network that answers otherwise"]


def of_another_sign(folder):
    changed(part(folder, 2), about={"identity": "x"})
    return [f"shard 2/3 in {part(folder, 2)} was made of another network or of other images"]


def unfinished(folder):
    changed(part(folder, 2), about={"left": 4})
    return ["shard 2/3 of Net on drawn (pgd in Linf 1/40) is not finished, 4 examples are left in"]


def several_faults(folder):
    changed(part(folder, 2), about={"left": 4})
    part(folder, 3).unlink()
    return ["shard 2/3 of Net", "shard 3/3 of Net"]


def of_another_cut(folder):
    path = part(folder, 2)
    path.rename(path.with_name(path.name.replace("2of3", "2of2")))
    return ["shard 2/3 of Net on drawn (pgd in Linf 1/40) is missing"]


FAULTS = (
    *(lose, lose_two, double, call_one_another, call_all_another_run, cut_off, flip, empty),
    *(of_another_torch, of_another_device, of_a_network_that_changed, of_another_sign),
    *(unfinished, several_faults, of_another_cut),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_does_not_belong_together_is_refused_by_name(shards, fault):
    said = fault(shards)
    folders = [shards, *(one for one in [shards.with_name("b")] if one.is_dir())]
    kept = {path: path.read_bytes() for path in shards.parent.rglob("*~*of*.npz")}
    with pytest.raises(ClbenchError) as refusal:
        clbench.merge(folders)
    lines = lines_of(refusal.value)
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True)), lines
    assert {path: path.read_bytes() for path in kept} == kept
    assert not list(shards.rglob("records/**/*.json"))


OTHER_RUNS = {
    "seed": ({"seed": 4}, "seed 4, not 3"),
    "eps": ({"eps": "1/6"}, "threat model Linf 1/6, not Linf 1/40"),
    "norm": ({"norm": "L2"}, "threat model L2 1/40, not Linf 1/40"),
    "attack": ({"attack": "pgd,steps=3"}, "attack pgd ("),
    "batch size": ({"batch_size": 7}, "batch size 7, not 8"),
    "precision": ({"precision": "bfloat16"}, "precision bfloat16, not float32"),
    "n_examples": ({"n_examples": 12}, "data 12 images of drawn ("),
}


@pytest.mark.parametrize("change", OTHER_RUNS)
def test_a_shard_of_another_run_is_told_with_the_difference(run, shards, change):
    settings, difference = OTHER_RUNS[change]
    part(shards, 3).unlink()
    run(shards, **{"attack": "pgd,steps=2", "shard": "3/3"} | settings)
    with pytest.raises(ClbenchError) as refusal:
        clbench.merge(shards)
    mine, its = sorted(lines_of(refusal.value), key=lambda line: line.startswith("shards 1/3, 2/3"))
    assert mine.startswith("shard 3/3 of Net on drawn (pgd in Linf 1/40) is missing; ")
    assert f"is of another run: {difference}" in mine
    assert its.startswith("shards 1/3, 2/3 of Net on drawn (")


def test_a_run_that_is_whole_is_merged_beside_one_that_is_not(run, shards):
    run(shards, attack="pgd,steps=2", eps="1/6", shard="1/2")
    told = []
    with pytest.raises(ClbenchError, match="shard 2/2 of Net on drawn"):
        clbench.merge(shards, on_record=told.append)
    assert [one.threat_model.eps for one in told] == ["1/40"]
    left = {path.name.rpartition("~")[2] for path in (shards / "progress").iterdir()}
    assert left == {"1of2.npz", "1of2.npz.images", "8.images"}


def test_a_merge_that_was_killed_before_all_shards_went_is_told(shards, caplog):
    kept = part(shards, 2).read_bytes(), part(shards, 2)
    (found,) = clbench.merge(shards)
    kept[1].write_bytes(kept[0])
    assert clbench.merge(shards) == []
    assert f"{found.paths.record} is finished; clbench clean lists" in caplog.text
    assert {one.what for one in leftovers(shards)} == {"shard 2/3"}


def test_a_folder_named_twice_counts_once(shards):
    assert len(clbench.merge([shards, shards / "." / "..", str(shards)][::2])) == 1


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["nowhere"], "there is no folder .*nowhere; give one that clbench eval wrote"),
        (["there", "nowhere"], "there is no folder .*nowhere"),
        (["there"], "no shard of a run lies in .*there; clbench eval --shard 1/2 --out"),
        ([], "out must name a folder, got none"),
    ],
)
def test_folders_without_shards_are_refused(tmp_path, folders, said):
    (tmp_path / "there" / "progress").mkdir(parents=True)
    with pytest.raises(ClbenchError, match=said):
        clbench.merge([tmp_path / folder for folder in folders])


BATCHWISE = [
    ("autoattack", "pyautoattack", "take --backend native"),
    ("square", "pyautoattack", "take --backend native"),
    ("torchattacks:MIFGSM", "torchattacks", "run it in one piece"),
    ("pgd,steps=2 + torchattacks:FGSM", "auto", "run it in one piece"),
]


@pytest.mark.parametrize(("attack", "backend", "remedy"), BATCHWISE)
def test_what_belongs_to_batches_cannot_be_cut(run, tmp_path, attack, backend, remedy):
    with pytest.raises(BadValueError, match="belong to whole batches; " + remedy):
        run(tmp_path, attack=attack, backend=backend, shard="1/2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("attack", ["autoattack", "pgd", "fab + square", "apgd-t + fab-t"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_what_belongs_to_examples_can_be_cut(attack, norm):
    check_can_be_cut(plan_attack(attack, norm, 10, "native"), norm, Shard(0, 2))


def test_more_shards_than_examples_are_refused(run, tmp_path):
    with pytest.raises(BadValueError, match="drawn has 23 examples, too few for 24 shards"):
        run(tmp_path, shard="1/24")


def test_a_damaged_shard_is_set_aside_and_run_again(run, whole, tmp_path, caplog):
    for number in (1, 2):
        run(tmp_path, shard=f"{number}/2")
    flip_in = part(tmp_path, 2, of=2)
    data = bytearray(flip_in.read_bytes())
    data[len(data) // 2] ^= 1
    flip_in.write_bytes(data)
    run(tmp_path, shard="2/2")
    assert "cannot go on from" in caplog.text
    assert_same(clbench.merge(tmp_path)[0], whole)


# kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_shards_that_are_killed_make_the_run(fork, tmp_path):
    of, kills = 2, 5
    script = Path(__file__).with_name("killed_again_and_again.py")
    child = fork(script.read_text(), tmp_path, tmp_path, of, kills)
    assert child.status() == 0, child.err.read_text()
    assert int(child.out.read_text()) >= kills - 1
