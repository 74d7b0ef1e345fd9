import io
import json
import os
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from clbench.attacks.interface import AttackStep
from clbench.attacks.norms import is_inside
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.attack_run import made_with
from clbench.evaluation.perturb import perturb
from clbench.evaluation.run import evaluate, first_logits
from clbench.evaluation.state import EvaluationState
from clbench.runtime.tiles import MAX_ON_CPU
from clbench.schema.errors import BadValueError, ModelError, StorageError
from clbench.schema.files import unseal
from clbench.schema.threat_model import ThreatModel
from clbench.testing.damage import flips

LINF = ThreatModel("Linf", Fraction(1, 50))


class StopError(Exception):
    """Interrupts an evaluation from its progress function."""


@pytest.fixture
def network():
    """A network that looks at differences between pixels, and not at brightness."""
    layers = nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    with torch.no_grad():
        layers[1].weight -= layers[1].weight.mean(dim=1, keepdim=True)
        layers[1].bias.zero_()
        layers[4].bias.zero_()
    return nn.Sequential(*layers)


@pytest.fixture
def image_set(network):
    images = torch.rand(20, 1, 8, 8)
    labels = network.eval()(images).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4
    return make_image_set("twenty", images, labels, 4)


@pytest.fixture
def cascade():
    """Three steps of different kinds, each of which breaks some images and leaves some."""
    texts = "torchattacks:FFGSM", "apgd-ce,n_iter=4", "square,n_queries=10"
    return tuple(step for text in texts for step in bind(plan_attack(text, "Linf", 4), 4))


def run(network, image_set, steps, **changes):
    settings = {"seed": 5, "batch_size": 4, "device": "cpu"} | changes
    return evaluate(network, image_set, steps, LINF, **settings)


def assert_same(one, other):
    for name, value in vars(one).items():
        again = getattr(other, name)
        if name == "seconds":
            continue
        assert torch.equal(value, again) if isinstance(value, torch.Tensor) else value == again, (
            name
        )


def test_verdicts_name_the_first_attack_that_broke_an_image(network, image_set, cascade):
    outcome = run(network, image_set, cascade)
    names = {"", "clean", "torchattacks:FFGSM", "apgd-ce"}
    assert names <= set(outcome.broken_by) <= names | {"square"}
    assert [by == "clean" for by in outcome.broken_by] == [i % 10 == 0 for i in range(20)]


def test_accuracies_follow_from_the_verdicts(network, image_set, cascade):
    outcome = run(network, image_set, cascade)
    left = [measure.value for measure in outcome.accuracy_left.values()]
    assert [measure.name for measure in outcome.measures] == [
        "clean_acc", "robust_acc",
        "acc_after_torchattacks:FFGSM", "acc_after_apgd-ce", "acc_after_square",
    ]  # fmt: skip
    assert outcome.clean_acc.value == 18 / 20 >= left[0] >= left[1] >= left[2]
    assert left[2] == outcome.robust_acc.value == outcome.broken_by.count("") / 20
    assert outcome.robust_acc.n == 20


def test_every_success_is_an_image_in_the_ball_that_the_network_gets_wrong(
    network, image_set, cascade
):
    outcome = run(network, image_set, cascade)
    assert is_inside(outcome.adversarial, image_set.images, LINF).all()
    with torch.no_grad():
        assert torch.equal(network.eval()(outcome.adversarial).argmax(1), outcome.adv_pred)
    robust = torch.tensor([by == "" for by in outcome.broken_by])
    assert torch.equal(outcome.adv_pred == image_set.labels, robust)


def test_robust_images_are_stored_clean(network, image_set, cascade):
    outcome = run(network, image_set, cascade)
    untouched = torch.tensor([by in ("", "clean") for by in outcome.broken_by])
    assert torch.equal(outcome.adversarial[untouched], image_set.images[untouched])


def test_a_step_attacks_only_what_is_robust_in_full_batches_and_in_order(network, image_set):
    seen = []

    def attack(model, images, labels, threat_model, *, seed, index):
        seen.append(index.tolist())
        images = images.clone()
        images[0] = torch.nan
        return images

    breaking = bind(plan_attack("apgd-ce,n_iter=4", "Linf", 4), 4)
    outcome = run(network, image_set, (*breaking, AttackStep("look", attack)))
    robust = [i for i, by in enumerate(outcome.broken_by) if by == ""]
    assert [i for part in seen for i in part] == robust
    assert all(len(part) == 4 for part in seen[:-1])
    assert outcome.flag_names == ("nan_adversarial",)


def test_progress_is_told_after_the_clean_images_and_every_batch(network, image_set, cascade):
    told = []
    outcome = run(network, image_set, cascade, on_progress=told.append)
    assert (told[0].attack, told[0].step, told[0].accuracy_left) == ("clean", 0, 0.9)
    assert told[0].eta is None
    last = {progress.attack: progress for progress in told}
    assert list(last) == ["clean", *outcome.attacks]
    for name, measure in outcome.accuracy_left.items():
        assert last[name].accuracy_left == pytest.approx(measure.value)
        assert last[name].done == last[name].total
    assert [progress.step for progress in told] == sorted(progress.step for progress in told)
    assert told[-1].eta == 0
    assert all(progress.eta > 0 for progress in told[1:-1])
    assert 0 < told[-1].seconds <= outcome.seconds


@pytest.mark.parametrize("batch_size", [4, None])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    network, image_set, cascade, tmp_path, batch_size
):
    whole, told = run(network, image_set, cascade, batch_size=batch_size), []
    run(network, image_set, cascade, batch_size=batch_size, on_progress=told.append)
    for stop_at in range(len(told)):
        file, calls = tmp_path / f"{stop_at}.npz", []

        def stop(progress, calls=calls, stop_at=stop_at):
            calls.append(progress)
            if len(calls) > stop_at:
                raise StopError

        settings = {"batch_size": batch_size, "progress_file": file}
        with pytest.raises(StopError):
            run(network, image_set, cascade, **settings, on_progress=stop)
        again = []
        outcome = run(network, image_set, cascade, **settings, on_progress=again.append)
        assert_same(outcome, whole)
        # it goes on, and does not begin anew
        assert len(again) == len(told) - stop_at


def test_an_interrupt_in_the_middle_of_a_batch_loses_only_that_batch(
    network, image_set, cascade, tmp_path
):
    class Interrupted(nn.Module):
        def __init__(self, calls):
            super().__init__()
            self.inner, self.calls = network, calls

        def forward(self, images):
            self.calls += 1
            if self.calls == 40:
                raise KeyboardInterrupt
            return self.inner(images)

    settings = {"progress_file": tmp_path / "progress.npz"}
    wrapped, whole = Interrupted(0), run(Interrupted(100), image_set, cascade)
    with pytest.raises(KeyboardInterrupt):
        run(wrapped, image_set, cascade, **settings)
    told = []
    outcome = run(wrapped, image_set, cascade, **settings, on_progress=told.append)
    assert told[0].step > 0
    assert_same(outcome, whole)


DRIVER = """
import os, signal, sys, time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
import numpy as np, torch
from torch import nn
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.run import evaluate
from clbench.schema.threat_model import ThreatModel

torch.set_num_threads(1)
folder = Path(sys.argv[1])
torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
images = torch.rand(24, 1, 8, 8)
image_set = make_image_set("some", images, network(images).argmax(1), 4)
texts = "torchattacks:FFGSM", "apgd-t,n_iter=30", "square,n_queries=150", "fab-t,n_iter=20"
steps = [step for text in texts for step in bind(plan_attack(text, "Linf", 4), 4)]

def run(name, file, on_progress=None):
    outcome = evaluate(
        network, image_set, steps, ThreatModel("Linf", Fraction(1, 40)), seed=0, batch_size=6,
        device="cpu", progress_file=file, on_progress=on_progress,
    )
    np.savez(
        folder / name, clean_pred=outcome.clean_pred, adv_pred=outcome.adv_pred,
        broken_by=outcome.broken_by, adversarial=outcome.adversarial, flags=outcome.flags,
        passes=[outcome.forward_passes, outcome.backward_passes],
    )

def forked(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child

def die_at(call):
    def die(progress, calls=[]):
        calls.append(progress)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
    return die

def killed(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

started = time.perf_counter()
child = forked(lambda: run("whole.npz", None))
assert not killed(child)
seconds = time.perf_counter() - started
file = folder / "progress.npz"
for call in (7, 5, 4):  # between two batches
    child = forked(lambda: run("never.npz", file, die_at(call)))
    print("killed", killed(child), file.exists())
for share in (0.1, 0.3):  # wherever it happens to be
    child = forked(lambda: run("late.npz", folder / f"{share}.npz"))
    time.sleep(share * seconds)
    os.kill(child, signal.SIGKILL)
    print("killed", killed(child))
    child = forked(lambda: run(f"resumed{share}.npz", folder / f"{share}.npz"))
    assert not killed(child)
child = forked(lambda: run("resumed.npz", file))
assert not killed(child)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_run_killed_again_and_again_ends_as_an_uninterrupted_one(fork, tmp_path):
    child = fork(DRIVER, tmp_path, tmp_path)
    assert child.status() == 0, child.err.read_text()
    assert child.out.read_text().count("killed True") == 5
    whole = dict(np.load(tmp_path / "whole.npz"))
    assert {"", "apgd-t"} <= set(whole["broken_by"])
    for name in ("resumed.npz", "resumed0.1.npz", "resumed0.3.npz"):
        resumed = dict(np.load(tmp_path / name))
        assert all(np.array_equal(whole[key], resumed[key]) for key in whole), name
    assert not (tmp_path / "never.npz").exists()


def test_a_finished_run_is_not_run_again(network, image_set, cascade, tmp_path):
    file, told = tmp_path / "progress.npz", []
    first = run(network, image_set, cascade, progress_file=file)
    second = run(network, image_set, cascade, progress_file=file, on_progress=told.append)
    assert_same(first, second)
    assert first.seconds == second.seconds
    assert [progress.eta for progress in told] == [None]


def test_progress_of_another_run_is_not_used(network, image_set, cascade, tmp_path):
    file, told = tmp_path / "progress.npz", []
    run(network, image_set, cascade, progress_file=file)
    others = [
        {"seed": 6},
        {"batch_size": 5},
        {"batch_size": None},
        {"precision": "bfloat16"},
        {"identity": "another"},
    ]
    for changes in others:
        told.clear()
        run(network, image_set, cascade, progress_file=file, on_progress=told.append, **changes)
        assert told[0].step == 0, changes


def test_progress_of_other_weights_or_data_is_not_used(network, image_set, cascade, tmp_path):
    file, told = tmp_path / "progress.npz", []
    settings = {"progress_file": file, "on_progress": told.append}
    run(network, image_set, cascade, **settings)
    told.clear()
    run(network, image_set.head(15), cascade, **settings)
    assert told[0].step == 0
    with torch.no_grad():
        network[4].bias += 1e-3
    told.clear()
    run(network, image_set.head(15), cascade, **settings)
    assert told[0].step == 0


def test_a_damaged_progress_file_is_set_aside_and_named(
    network, image_set, cascade, tmp_path, caplog
):
    file, told = tmp_path / "progress.npz", []
    whole = run(network, image_set, cascade, progress_file=file)
    damaged = file.read_bytes()[:-30]
    file.write_bytes(damaged)
    outcome = run(network, image_set, cascade, progress_file=file, on_progress=told.append)
    assert told[0].step == 0
    assert_same(outcome, whole)
    aside = tmp_path / "progress.npz.aside-1"
    assert aside.read_bytes() == damaged
    assert caplog.messages == [f"cannot go on from {file}: it is damaged; kept as {aside}"]


def test_progress_of_another_torch_is_set_aside_and_named(
    network, image_set, cascade, tmp_path, caplog, monkeypatch
):
    file = tmp_path / "progress.npz"
    run(network, image_set, cascade, progress_file=file)
    monkeypatch.setattr(torch, "__version__", "9.9")
    run(network, image_set, cascade, progress_file=file)
    assert "it was made with another torch (torch " in caplog.text
    assert file.with_name("progress.npz.aside-1").exists()


def test_progress_of_a_network_that_answers_otherwise_now_is_set_aside(
    network, image_set, cascade, tmp_path, caplog
):
    class Shifted(nn.Module):
        shift = 0.0

        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, images):
            return self.inner(images) + self.shift * torch.arange(4)

    shifted = Shifted()
    file, told = tmp_path / "progress.npz", []
    run(shifted, image_set, cascade, progress_file=file)
    shifted.shift = 0.01  # as a file that the network reads may change, and its state does not
    run(shifted, image_set, cascade, progress_file=file, on_progress=told.append)
    assert told[0].step == 0
    assert "the network answers otherwise now" in caplog.text


FLIPS = 3000


def test_no_flipped_bit_of_saved_progress_is_taken_for_progress(
    network, image_set, cascade, tmp_path
):
    file = tmp_path / "progress.npz"
    run(network, image_set, cascade, progress_file=file)
    data = file.read_bytes()
    logits = first_logits(network, image_set, "cpu")
    about = made_with(torch.device("cpu"))
    identity = json.loads(str(np.load(io.BytesIO(unseal(data)))["about"]))["identity"]

    def load(content):
        return EvaluationState.from_bytes(content, identity, image_set, logits, about)

    assert isinstance(load(data), EvaluationState)
    for _, damaged in flips(data, FLIPS):
        assert load(damaged).reason == "it is damaged"


def test_progress_that_cannot_be_saved_is_said_at_once(network, image_set, cascade, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        run(network, image_set, cascade, progress_file=tmp_path / "file" / "progress.npz")


def test_saving_is_rare_when_batches_are_quick(network, image_set, cascade, tmp_path, monkeypatch):
    import clbench.evaluation.progress

    saved = []
    monkeypatch.setattr(clbench.evaluation.progress, "write_atomically", lambda *_: saved.append(1))
    told = []
    settings = {"progress_file": tmp_path / "progress.npz", "on_progress": told.append}
    run(network, image_set, cascade, batch_size=1, **settings)
    assert len(saved) <= 3 + told[-1].seconds < len(told)
    monkeypatch.setattr(clbench.evaluation.progress, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(clbench.evaluation.progress, "_SAVING_SHARE", 1e9)
    saved.clear()
    told.clear()
    run(network, image_set, cascade, batch_size=1, **settings)
    assert len(saved) >= len(told) - 1 + 3


def test_batch_size_auto_is_chosen_and_told(network, image_set, cascade):
    assert run(network, image_set, cascade, batch_size=None).batch_size == MAX_ON_CPU


def test_a_batch_size_below_one_is_refused(network, image_set, cascade):
    with pytest.raises(BadValueError, match="--batch-size must be 'auto' or a whole number"):
        run(network, image_set, cascade, batch_size=0)


def test_an_unknown_precision_is_refused(network, image_set, cascade):
    with pytest.raises(
        BadValueError, match="precision must be auto, float32 or bfloat16, got 'half'"
    ):
        run(network, image_set, cascade, precision="half")


def test_nothing_is_attacked_where_no_image_is_right(network, image_set, cascade):
    wrong = make_image_set("wrong", image_set.images, (image_set.labels + 2) % 4, 4)
    images = wrong.images[torch.tensor([i % 10 != 0 for i in range(20)])]
    labels = wrong.labels[torch.tensor([i % 10 != 0 for i in range(20)])]
    told = []
    image_set = make_image_set("wrong", images, labels, 4)
    outcome = run(network, image_set, cascade, on_progress=told.append)
    assert outcome.broken_by == ["clean"] * 18
    assert outcome.robust_acc.value == outcome.clean_acc.value == 0
    assert len(told) == 1


class Pair(nn.Module):
    def forward(self, images):
        return images, images


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), r"\[8, 3\]"),
        (nn.Conv2d(1, 4, 1), r"\[8, 4, 8, 8\]"),
        (Pair(), "tuple"),
    ],
    ids=["classes", "shape", "type"],
)
def test_networks_that_return_no_logits_are_refused(image_set, cascade, other, got):
    with pytest.raises(ModelError, match=rf"must return logits \[8, 4\] for 8 images, got {got}"):
        run(other, image_set, cascade)


def test_randomized_networks_give_the_same_verdicts_for_the_same_seed(image_set, cascade):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 4)

        def forward(self, images):
            return self.layer(images.flatten(1)) + torch.randn(4) / 50

    network = Noisy()
    torch.manual_seed(1)
    first = run(network, image_set, cascade)
    torch.manual_seed(2)
    assert_same(first, run(network, image_set, cascade))
    assert "randomized" in first.flag_names
    assert first.unreliable


def test_passes_and_seconds_are_counted(network, image_set):
    steps = bind(plan_attack("pgd,steps=3,start=zero", "Linf", 4), 4)
    outcome = run(network, image_set, steps)
    n, correct, first_batch = 20, 18, 4
    examining, scaling, two_losses = 6 * first_batch, correct, correct
    confirming = outcome.broken_by.count("pgd")
    before = n + examining + scaling + two_losses
    assert outcome.forward_passes == before + 4 * correct + confirming
    assert outcome.backward_passes == correct + 2 * correct + 4 * correct
    assert outcome.seconds > 0


def test_the_network_s_own_hooks_and_mode_stay(network, image_set, cascade):
    network.train()
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    run(network, image_set, cascade)
    assert network.training
    assert len(network._forward_hooks) == 1
    assert calls


@pytest.mark.parametrize("threat_model", [LINF, ThreatModel("L2", Fraction(1, 2))], ids=str)
def test_probes_get_every_image_perturbed_within_the_ball(network, image_set, threat_model):
    images = perturb(network, image_set, threat_model, seed=0, batch_size=None, device="cpu")
    assert is_inside(images, image_set.images, threat_model).all()
    offset = (images - image_set.images).flatten(1)
    size = offset.abs().amax(1) if threat_model.norm == "Linf" else offset.norm(dim=1)
    assert (size > 0.5 * float(threat_model.eps)).all()


def test_perturbed_images_are_the_same_in_any_batches_and_leave_no_trace(network, image_set):
    network.train()
    before = torch.get_rng_state()
    settings = {"seed": 0, "device": "cpu"}
    one = perturb(network, image_set, LINF, batch_size=20, **settings)
    two = perturb(network, image_set, LINF, batch_size=7, **settings)
    assert torch.allclose(one, two, atol=1e-5)
    assert network.training
    assert torch.equal(torch.get_rng_state(), before)
