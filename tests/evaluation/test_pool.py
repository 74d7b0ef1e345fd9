"""What happens to an example under clbench's own attacks depends on nothing but itself."""

import io
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import Shard, make_image_set
from clbench.evaluation.perturb import perturb
from clbench.evaluation.progress import Saver
from clbench.evaluation.run import evaluate
from clbench.schema.errors import ModelError
from clbench.schema.files import unseal
from clbench.schema.threat_model import ThreatModel

N, CLASSES, TILE = 24, 5, 8
EPS = {"Linf": Fraction(1, 30), "L2": Fraction(1, 4), "L1": Fraction(1)}
ATTACK = (
    "apgd-ce,n_iter=6 + apgd-t,n_iter=5,n_target_classes=3 + fab-t,n_iter=5,n_target_classes=3"
    " + square,n_queries=40 + pgd,steps=4,restarts=2"
)
every_norm = pytest.mark.parametrize("norm", EPS)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, CLASSES)
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def images(network):
    torch.manual_seed(2)
    drawn = torch.rand(N, 2, 8, 8)
    labels = network(drawn).argmax(1)
    labels[::10] = (labels[::10] + 1) % CLASSES
    return make_image_set("drawn", drawn, labels, CLASSES)


def run(network, images, norm, attack=ATTACK, **settings):
    steps = bind(plan_attack(attack, norm, CLASSES, "native"), CLASSES)
    settings = {"seed": 3, "batch_size": TILE, "device": "cpu"} | settings
    return evaluate(network, images, steps, ThreatModel(norm, EPS[norm]), **settings)


@pytest.fixture(scope="module")
def whole(network, images):
    """Return a function from a norm to what all attacks find in one piece, once for all tests."""
    return cache(partial(run, network, images))


def verdicts(result):
    """Return by index what happened to each example, images to the byte."""
    return {
        index: (clean, adversarial, broken_by, image.numpy().tobytes())
        for index, clean, adversarial, broken_by, image in zip(
            result.index.tolist(),
            result.clean_pred.tolist(),
            result.adv_pred.tolist(),
            result.broken_by,
            result.adversarial,
            strict=True,
        )
    }


@every_norm
def test_every_component_has_something_to_do(whole, norm):
    found = whole(norm).broken_by
    assert {"clean", "", "apgd-ce"} <= set(found)
    assert 5 < found.count("") < 20


@every_norm
@pytest.mark.parametrize("order", ["shuffled", "half"])
def test_the_order_and_the_presence_of_others_do_not_matter(network, images, whole, norm, order):
    expected = verdicts(whole(norm))
    where = {
        "shuffled": torch.randperm(N),
        "half": torch.arange(0, N, 2),
    }[order]
    found = verdicts(run(network, images.select(where), norm))
    assert found == {index: expected[index] for index in where.tolist()}


@pytest.mark.parametrize(("norm", "n_shards"), [("Linf", 2), ("L2", 3), ("Linf", 7), ("L1", 3)])
def test_shards_find_what_a_whole_run_finds(network, images, whole, norm, n_shards):
    parts = {}
    for number in range(n_shards):
        parts |= verdicts(run(network, images.shard(Shard(number, n_shards)), norm))
    assert parts == verdicts(whole(norm))


@pytest.mark.parametrize(
    ("norm", "attack"),
    [
        ("Linf", ATTACK),
        ("L2", "apgd-t,n_iter=20"),
        ("L2", "square,n_queries=120"),
        ("L1", "apgd-ce,n_iter=9,n_restarts=3 + fab-t,n_iter=3,n_target_classes=2"),
    ],
)
def test_a_run_cut_anywhere_goes_on_to_the_same_bytes(
    network, images, whole, norm, attack, tmp_path, monkeypatch
):
    expected, file, cuts = whole(norm, attack), tmp_path / "progress.npz", 0

    class CutError(Exception):
        pass

    def cut_or_save(saver, *, force=False):
        nonlocal calls
        calls += 1
        if calls == cut_at:
            raise CutError  # the saver writes what was under way

    monkeypatch.setattr(Saver, "save", cut_or_save)
    monkeypatch.setattr(Saver, "__exit__", lambda saver, kind, *_: kind and saved(saver))

    def saved(saver):
        file.write_bytes(saver._content())

    for at in (1, 2, 3, 5, 9, 17):
        calls, cut_at = 0, at
        try:
            run(network, images, norm, attack, progress_file=file)
        except CutError:
            cuts += 1
    calls, cut_at = 0, -1
    last = run(network, images, norm, attack, progress_file=file)
    assert cuts >= 4
    assert verdicts(last) == verdicts(expected)
    assert (last.forward_passes, last.backward_passes) == (
        expected.forward_passes,
        expected.backward_passes,
    )


@pytest.mark.parametrize("tile", [2, 5, 64])
def test_attempts_may_lie_in_several_tiles(network, images, whole, tile):
    found = run(network, images, "Linf", batch_size=tile)
    equal = sum(map(lambda one, two: one == two, found.broken_by, whole("Linf").broken_by))
    assert equal >= N - 2  # rounding differs


class Tight(nn.Module):
    """A network on a device whose memory runs out at some calls."""

    def __init__(self, network, runs_out):
        super().__init__()
        self.network, self.runs_out, self.calls = network, runs_out, 0

    def forward(self, x):
        self.calls += 1
        if self.runs_out(self.calls):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(x)


def test_memory_that_runs_out_halves_the_tiles_and_changes_nothing(network, images):
    settings = {"attack": "apgd-t,n_iter=5,n_target_classes=4", "batch_size": 2}
    ample = run(Tight(network, lambda _call: False), images, "Linf", **settings)
    tight = Tight(network, lambda call: call in {180, 220})
    found = run(tight, images, "Linf", **settings)
    assert tight.calls > 220
    assert verdicts(found) == verdicts(ample)


def test_memory_for_less_than_a_tile_is_one_line(network, images):
    with pytest.raises(
        ModelError, match=r"^cpu has no memory for 8 images at once; take a smaller --batch"
    ):
        run(Tight(network, lambda call: call > 100), images, "Linf")


def test_memory_for_less_than_a_batch_of_a_probe_is_one_line(network, images):
    tight, threat_model = Tight(network, lambda call: call > 10), ThreatModel("Linf", EPS["Linf"])
    given = {"seed": 0, "batch_size": 4, "device": "cpu"}
    with pytest.raises(
        ModelError, match=r"^cpu has no memory for 4 images at once; take a smaller"
    ):
        perturb(tight, images, threat_model, **given)


def test_what_the_plain_network_denies_goes_on(network, images, monkeypatch):
    import clbench.evaluation.pool_run

    real, denied, calls = clbench.evaluation.pool_run.confirm, [], 0

    def deny_first(classify, clean, points, labels, threat_model, *, bounded):
        nonlocal calls
        found = real(classify, clean, points, labels, threat_model, bounded=bounded)
        calls += 1
        if calls <= 3:
            denied.extend(points[found.broken])
            found.broken[:] = False
        return found

    whole = run(network, images, "Linf", "apgd-ce,n_iter=30")
    monkeypatch.setattr(clbench.evaluation.pool_run, "confirm", deny_first)
    found = run(network, images, "Linf", "apgd-ce,n_iter=30")
    assert denied
    assert found.broken_by == whole.broken_by
    assert found.forward_passes > whole.forward_passes


def test_passes_are_those_of_the_examples_and_not_of_the_tiles(network, images):
    attack, looked_at = "square,n_queries=20", 6  # the first tile is looked at so often
    found = [
        run(network, images, "L2", attack, batch_size=tile).forward_passes - looked_at * tile
        for tile in (8, N)
    ]
    assert found[0] == pytest.approx(found[1], abs=4)


def test_progress_holds_what_is_under_way_within_a_component(
    network, images, tmp_path, monkeypatch
):
    monkeypatch.setattr("clbench.evaluation.attack_run.TELL_EVERY_S", 0.0)
    file, attack = tmp_path / "progress.npz", "square,n_queries=60"

    class StopError(Exception):
        pass

    def stop(progress):
        if progress.within > 1:
            raise StopError

    with pytest.raises(StopError):
        run(network, images, "L2", attack, progress_file=file, on_progress=stop)
    assert "in_flight_item_best" in saved_names(file)
    resumed = run(network, images, "L2", attack, progress_file=file)
    assert resumed.forward_passes == run(network, images, "L2", attack).forward_passes


@pytest.mark.parametrize("threads", [2, 4])
def test_bytes_are_the_same_at_one_two_and_four_threads(network, images, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        attack = "apgd-ce,n_iter=6 + square,n_queries=20"
        one = verdicts(run(network, images, "Linf", attack))
        torch.set_num_threads(threads)
        assert verdicts(run(network, images, "Linf", attack)) == one
    finally:
        torch.set_num_threads(before)


def test_the_state_has_nothing_under_way_at_the_end(network, images, tmp_path):
    file = tmp_path / "progress.npz"
    run(network, images, "Linf", progress_file=file)
    assert not any(name.startswith("in_flight") for name in saved_names(file))


def saved_names(file):
    with np.load(io.BytesIO(unseal(file.read_bytes()))) as found:
        return found.files
