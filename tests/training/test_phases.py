import io
import math
from dataclasses import replace

import pytest
import torch

from clbench.data.image_set import make_image_set
from clbench.training import phases
from clbench.training.augmentation import NO_VIEWS
from clbench.training.phases import PhaseRun
from clbench.training.recipe import Optimizer
from clbench.training.sampling import known_labels

WILD = Optimizer("sgd", lr=100.0, weight_decay=1.0, momentum=0.99)
"""Every step multiplies the weights by a hundred."""

SEMI = ("semi_simclr_supervised", "semi_simclr_supcon", "semi_supcon_supervised")


@pytest.fixture
def phase_of(make_recipe):
    """Return a function that gives the last phase of a model, or the first one."""

    def choose(name, which=-1, changes=None):
        return list(make_recipe(name, changes).phases.values())[which]

    return choose


@pytest.fixture
def backbone_of(state_of):
    def copy(network):
        return {k: value for k, value in state_of(network).items() if not k.startswith("fc.")}

    return copy


@pytest.mark.parametrize("name", ["simclr_at", "simclr_partial_at", "supcon_st"])
def test_a_frozen_backbone_stays_bit_equal(network, run_phase, phase_of, backbone_of, equal, name):
    before, head = backbone_of(network), network.fc.weight.clone()
    run_phase(network, replace(phase_of(name), epochs=2), "finetuning")
    assert equal(backbone_of(network), before)
    assert not torch.equal(network.fc.weight, head)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_frozen_backbone_stays_bit_equal_whatever_the_adversarys_mode(
    network, run_phase, make_phase, make_adversary, backbone_of, equal
):
    before = backbone_of(network)
    adversary = make_adversary(mode="train", target="image")
    run_phase(network, make_phase("cross_entropy", trains="classifier", adversary=adversary))
    assert equal(backbone_of(network), before)


@pytest.mark.parametrize("name", ["simclr_full_at", "supervised_at", "trades"])
def test_what_is_not_frozen_changes_and_with_it_its_statistics(
    network, run_phase, phase_of, backbone_of, name
):
    before = backbone_of(network)
    run_phase(network, phase_of(name))
    after = backbone_of(network)
    assert all(not torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("name", ["simclr_st", "supcon_at"])
def test_pretraining_with_a_projector_leaves_the_classifier_alone(
    network, run_phase, phase_of, backbone_of, equal, name
):
    head, before = network.fc.weight.clone(), backbone_of(network)
    rows, kept = run_phase(network, phase_of(name, 0))
    assert torch.equal(network.fc.weight, head)
    assert not equal(backbone_of(network), before)
    assert kept == len(rows) == 1
    assert rows[0].clean_acc is rows[0].robust_acc is None


def test_a_classifier_starts_anew(network, make_job, phase_of):
    network.fc.weight.data.fill_(100.0)
    PhaseRun(network, "finetuning", phase_of("simclr_full_at"), make_job())
    assert network.fc.weight.abs().max() < 10


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    run_phase, phase_of, network, state_of, equal
):
    start, phase, found = state_of(network), phase_of("simclr_at", 0), []
    for seed in (0, 0, 1):
        network.load_state_dict(start)
        run_phase(network, phase, seed=seed)
        found.append(state_of(network))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_global_randomness_is_left_alone(network, run_phase, phase_of):
    before = torch.get_rng_state()
    run_phase(network, phase_of("simclr_full_at"), "finetuning")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def measured(monkeypatch):
    """Return a function that sets what validation finds, clean and robust of every epoch."""

    def set_to(*found):
        values = iter(found)
        monkeypatch.setattr(phases, "accuracy", lambda *a, **k: next(values))

    return set_to


def test_the_best_validated_epoch_is_kept(network, run_phase, phase_of, measured, state_of, equal):
    states = []
    measured(0.3, 0.1, 0.6, 0.4, 0.6, 0.3, 0.4, 0.2)
    phase = replace(phase_of("supervised_at"), epochs=4, validate_every=1)
    rows, kept = run_phase(network, phase, on_epoch=lambda _: states.append(state_of(network)))
    assert [row.robust_acc for row in rows] == [0.1, 0.4, 0.3, 0.2]
    assert kept == 2
    assert equal(state_of(network), states[1])


def test_of_equal_epochs_the_later_is_kept(network, run_phase, phase_of, measured):
    measured(0.9, 0.1, 0.2, 0.5, 0.9, 0.6, 0.1, 0.7)
    phase = replace(phase_of("supervised_st"), epochs=4, validate_every=1)
    _, kept = run_phase(network, phase, criterion="clean_acc")
    assert kept == 3


def test_the_last_epoch_is_kept_where_the_recipe_says_so(
    network, run_phase, phase_of, measured, state_of, equal
):
    states = []
    measured(0.9, 0.9, 0.1, 0.1)
    phase = replace(phase_of("supervised_at"), epochs=2, validate_every=1, keep="last")
    _, kept = run_phase(network, phase, on_epoch=lambda _: states.append(state_of(network)))
    assert kept == 2
    assert equal(state_of(network), states[1])


def test_only_every_so_many_epochs_are_validated_and_the_last(network, run_phase, phase_of):
    phase = replace(phase_of("supcon_st"), epochs=3, validate_every=2)
    rows, _ = run_phase(network, phase, "finetuning")
    assert [row.clean_acc is not None for row in rows] == [False, True, True]


def test_training_learns(run_phase, phase_of, network):
    phase = replace(phase_of("supervised_st"), epochs=12, views=NO_VIEWS)
    rows, _ = run_phase(network, replace(phase, optimizer=Optimizer("adamw", 0.003)))
    assert rows[-1].loss < 0.5 * rows[0].loss


@pytest.mark.parametrize("loss", ["nt_xent", "supcon"])
def test_contrastive_training_learns_under_attack(
    run_phase, make_phase, make_adversary, network, loss
):
    adversary = make_adversary(steps=1)
    phase = make_phase(loss, epochs=6, adversary=adversary, optimizer=Optimizer("adamw", 0.003))
    rows, _ = run_phase(network, phase)
    assert rows[-1].loss < rows[0].loss


def test_the_row_of_an_epoch_tells_its_numbers(network, run_phase, make_phase, make_adversary):
    phase = make_phase(
        "cross_entropy",
        epochs=3,
        adversary=make_adversary(steps=1, warmup_epochs=1),
        optimizer=Optimizer("sgd", lr=0.1, warmup_epochs=1),
    )
    rows, _ = run_phase(network, phase, "finetuning")
    assert [(row.phase, row.epoch, row.n_epochs) for row in rows] == [
        ("finetuning", epoch, 3) for epoch in (1, 2, 3)
    ]
    assert [row.eps for row in rows] == pytest.approx([1 / 12, 1 / 6, 1 / 6])
    assert [row.lr for row in rows] == pytest.approx([0.1 / 3, 0.1, 0.05])  # three steps an epoch
    assert all(row.images_per_second > 0 < row.seconds for row in rows)


def test_a_constant_schedule_stays(network, run_phase, make_phase):
    optimizer = Optimizer("adam", lr=0.001, schedule="constant")
    rows, _ = run_phase(network, make_phase("cross_entropy", epochs=3, optimizer=optimizer))
    assert [row.lr for row in rows] == [0.001] * 3


def test_a_loss_that_is_no_number_keeps_nothing(network, run_phase, phase_of):
    wild = replace(phase_of("supervised_st"), epochs=9, optimizer=WILD)
    kept = []
    rows, _ = run_phase(network, wild, on_epoch=lambda run: kept.append(run.state()["best"]))
    assert math.isnan(rows[-1].loss)
    assert rows[-1].clean_acc is None
    assert kept[-1]["epoch"] < len(rows)


def test_weights_that_diverge_in_the_last_step_are_no_finite_loss(
    network, run_phase, make_phase, monkeypatch
):
    step = PhaseRun._step

    def break_weights(self, *arguments):
        loss = step(self, *arguments)
        with torch.no_grad():
            self._network.fc.weight[0, 0] = math.inf
        return loss

    monkeypatch.setattr(PhaseRun, "_step", break_weights)
    phase = make_phase("cross_entropy", epochs=1, batch_size=48)  # one step, its loss is finite
    ((row,), _) = run_phase(network, phase)
    assert math.isnan(row.loss)
    assert row.clean_acc is None


def test_a_batch_larger_than_the_data_is_the_data(network, run_phase, phase_of):
    rows, _ = run_phase(network, replace(phase_of("supcon_st"), batch_size=1000), "finetuning")
    assert len(rows) == 1


# where a phase stands


@pytest.mark.parametrize(
    ("name", "which", "changes"),
    [
        ("simclr_at", 0, {}),
        ("supervised_at", 0, {"pretraining.optimizer.name": "adam"}),
        ("supervised_at", 0, {"pretraining.adversary.mode": "train"}),
        ("simclr_partial_at", 1, {"finetuning.optimizer.name": "adamw"}),
        ("trades", 0, {"pretraining.adversary.warmup_epochs": "3"}),
        ("semi_supcon_supervised", 0, {"pretraining.batch_size": "20"}),
    ],
)
def test_a_phase_goes_on_from_its_state_to_the_same_weights(
    network, run_phase, make_job, phase_of, state_of, equal, name, which, changes
):
    phase = replace(phase_of(name, which, changes), epochs=3, validate_every=1)
    start, stopped = state_of(network), []

    def note(run):
        file = io.BytesIO()
        torch.save(run.state(), file)
        stopped.append(file.getvalue())

    rows, kept = run_phase(network, phase, on_epoch=note)
    expected = state_of(network)
    for epoch, saved in enumerate(stopped, start=1):
        network.load_state_dict(start)
        run = PhaseRun(network, "pretraining", phase, make_job())
        run.load_state(torch.load(io.BytesIO(saved), weights_only=True))
        assert run.epoch == epoch
        again = [run.run_epoch() for _ in range(epoch, 3)]
        assert [row.loss for row in again] == [row.loss for row in rows[epoch:]]
        assert run.finish() == kept
        assert equal(state_of(network), expected)


# labels that are not known


@pytest.mark.parametrize("name", SEMI)
@pytest.mark.parametrize("which", [0, 1])
def test_the_labels_of_images_without_labels_never_matter(
    network, run_phase, phase_of, digits, state_of, equal, monkeypatch, name, which
):
    train, _ = digits
    phase = replace(phase_of(name, which), epochs=2, labelled=0.4)
    known = known_labels(train.labels, 0.4, seed=0)
    monkeypatch.setattr("clbench.training.sampling.known_labels", lambda *a, **k: known)
    permuted = train.labels.clone()
    permuted[~known] = permuted[~known][torch.randperm(int((~known).sum()))]
    start, found = state_of(network), []
    for labels in (train.labels, permuted, train.labels.where(known, 3)):
        network.load_state_dict(start)
        run_phase(network, phase, train=make_image_set("other", train.images, labels, 10))
        found.append(state_of(network))
    assert not torch.equal(permuted, train.labels)
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


@pytest.mark.parametrize("name", SEMI)
def test_the_labels_that_are_known_do_matter(
    network, run_phase, phase_of, digits, state_of, equal, monkeypatch, name
):
    train, _ = digits
    phase = replace(phase_of(name, 0), labelled=0.4)
    known = known_labels(train.labels, 0.4, seed=0)
    monkeypatch.setattr("clbench.training.sampling.known_labels", lambda *a, **k: known)
    start, found = state_of(network), []
    for labels in (train.labels, train.labels.where(~known, (train.labels * 7) % 4)):
        network.load_state_dict(start)
        run_phase(network, phase, train=make_image_set("other", train.images, labels, 10))
        found.append(state_of(network))
    assert not equal(found[0], found[1])


@pytest.mark.parametrize(
    ("loss", "labelled_loss", "adversarial"),
    [
        ("nt_xent", "cross_entropy", False),
        ("nt_xent", "supcon", False),
        ("supcon", "cross_entropy", False),
        ("supcon", "nt_xent", False),
        ("nt_xent", "cross_entropy", True),
        ("nt_xent", "trades", True),
        ("supcon", "supcon", True),
    ],
)
def test_every_pair_of_losses_trains(
    network, run_phase, make_phase, make_adversary, loss, labelled_loss, adversarial
):
    phase = make_phase(
        loss,
        epochs=1,
        batch_size=24,
        labelled=0.3,
        labelled_loss=labelled_loss,
        adversary=make_adversary(steps=1) if adversarial else None,
    )
    ((row,), _) = run_phase(network, phase)
    assert math.isfinite(row.loss)
    assert (row.clean_acc is not None) is (labelled_loss in ("cross_entropy", "trades"))


@pytest.mark.parametrize("name", [*SEMI, "supervised_at", "simclr_st"])
def test_every_trained_parameter_is_in_the_optimizer_once(network, make_job, phase_of, name):
    run = PhaseRun(network, "pretraining", phase_of(name, 0), make_job())
    (group,) = run.state()["optimizer"]["param_groups"]
    head = 0 if name in ("simclr_st", "semi_simclr_supcon") else 2
    projector = 0 if name == "supervised_at" else 4
    backbone = sum(not key.startswith("fc.") for key, _ in network.named_parameters())
    assert len(group["params"]) == backbone + head + projector


def test_a_training_step_moves_a_parameter_once(network, run_phase, make_phase, state_of):
    before = state_of(network)
    constant = Optimizer("adam", lr=0.01, schedule="constant")
    phase = make_phase(
        *("nt_xent",), epochs=1, batch_size=48, labelled=0.5, labelled_loss="cross_entropy"
    )
    run_phase(network, replace(phase, optimizer=constant))  # one step
    moved = (network.conv1.weight.detach() - before["conv1.weight"]).abs()
    assert moved.max() == pytest.approx(0.01, rel=1e-3)  # Adam's first step is of size lr


# the paper's ways, each a switch


def test_logits_of_unit_length_bound_the_cross_entropy(network, run_phase, make_phase):
    least = math.log(1 + 9 * math.exp(-(10**0.5) / 3))  # ten logits, nine of them equal
    adamw = Optimizer("adamw", 0.01)
    for unit_logits, bounded in (("always", True), ("attack", False)):
        phase = make_phase("cross_entropy", epochs=8, optimizer=adamw, unit_logits=unit_logits)
        rows, _ = run_phase(network, replace(phase, validate_every=8))
        assert (rows[-1].loss >= least) is bounded


@pytest.mark.parametrize(
    ("unit_logits", "model", "attacked"),
    [("never", False, False), ("attack", False, True), ("always", True, True)],
)
def test_unit_logits_say_who_sees_them(
    network, run_phase, make_phase, make_adversary, unit_logits, model, attacked, monkeypatch
):
    seen, forward = {}, phases.TrainedModel.forward

    def note(self, images):
        seen["attacked" if images.requires_grad else "model"] = self.cosine
        return forward(self, images)

    monkeypatch.setattr(phases.TrainedModel, "forward", note)
    phase = make_phase("cross_entropy", epochs=1, unit_logits=unit_logits)
    run_phase(network, replace(phase, adversary=make_adversary(steps=1)))
    assert seen == {"model": model, "attacked": attacked}


def test_an_attack_in_train_mode_counts_every_pass_in_the_statistics(
    network, run_phase, make_phase, make_adversary
):
    adversary = make_adversary(mode="train", target="image", steps=5)
    for mode, passes in (("eval", 2), ("frozen_statistics", 2), ("train", 2 + 5)):
        before = int(network.bn1.num_batches_tracked)
        phase = make_phase(
            *("cross_entropy",), epochs=1, batch_size=48, separate_views=True, keep="last"
        )
        run_phase(network, replace(phase, adversary=replace(adversary, mode=mode)))
        assert int(network.bn1.num_batches_tracked) - before == passes
