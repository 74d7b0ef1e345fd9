"""What several processes do together is what one does alone; real ones, over gloo."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from clbench.runtime import distributed
from clbench.training.artifacts import read_record

SCRIPT = Path(__file__).with_name("one_step.py")
ONE_STEP = runpy.run_path(str(SCRIPT))
CASES = list(ONE_STEP["CASES"])


def torchrun(*arguments):
    """Run a program as two processes."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    return subprocess.run(
        [*command, "--nproc-per-node", "2", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes find."""
    file = tmp_path_factory.mktemp("distributed") / "found.pt"
    done = torchrun(SCRIPT, file)
    assert done.returncode == 0, done.stderr
    return torch.load(file)


@pytest.fixture(scope="module")
def alone(fabric):
    """What one process finds."""
    return ONE_STEP["everything"](fabric)


def assert_near(found, expected, tolerance):
    """Compare two states by the largest number of each entry."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        scale = max(1e-3, float(value.abs().max()))
        torch.testing.assert_close(found[key], value, rtol=0, atol=tolerance * scale, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_step_of_two_processes_is_that_of_one(together, alone, case):
    one, two = alone[case], together[case]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert any(slope.abs().max() > 1e-2 for slope in one["slopes"].values())
    assert_near(two["slopes"], one["slopes"], 1e-6)  # logits and projections are float32
    assert_near(two["statistics"], one["statistics"], 1e-6)
    assert two["accuracies"] == one["accuracies"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_all_processes_have_the_same_weights_and_statistics_after_a_step(together, case):
    assert together[case]["alike"]


@pytest.mark.slow
def test_rows_are_gathered_in_order_and_give_slopes_back_to_every_process(together):
    found = together["gathered"]
    assert found["joined"][0, :, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert found["labels"].tolist() == [0, 1, 2, 10, 11, 12]
    # each of two processes has a loss of all rows, and the slopes of both arrive
    assert found["slopes"][0, :, 0].tolist() == [0, 2, 4, 6, 8, 10]
    assert found["parts"] == [(0, 3), (0, 3)]


def test_one_process_gathers_what_it_has_and_holds_everything(fabric):
    rows = torch.rand(2, 3, 4)
    assert distributed.gather(fabric, rows) is rows
    assert distributed.own_part(fabric, 7) == slice(0, 7)
    network = nn.Sequential(nn.BatchNorm2d(2))
    distributed.synchronised(network, fabric)
    assert type(network[0]) is nn.BatchNorm2d


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_over_one_process_is_torchs(monkeypatch, training):
    plain = nn.BatchNorm2d(3).train(training)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.running_var)
    shared = distributed.GlobalBatchNorm.of(plain)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    monkeypatch.setattr(distributed, "_summed", torch.clone)
    twin = nn.BatchNorm2d(3).train(training)
    twin.load_state_dict(plain.state_dict())
    images = torch.rand(4, 3, 5, 5)
    torch.testing.assert_close(shared(images), twin(images))
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[key], value)
    assert shared.training is training


@pytest.mark.slow
def test_torchrun_trains_and_says_so_once(tmp_path):
    out = tmp_path / "run"
    done = torchrun(
        *(Path(__file__).with_name("until_exit.py"), "train", "simclr_at", "--out", out),
        *("--set", "backbone=resnet10_w16", "--set", "validation.examples=20"),
        *("--set", "pretraining.epochs=1", "--set", "pretraining.batch_size=628"),
        *("--set", "pretraining.adversary.steps=1", "--set", "validation.steps=1"),
        *("--set", "finetuning.epochs=1", "--set", "finetuning.batch_size=628"),
    )
    said, errors = done.stdout, done.stderr
    assert done.returncode == 0, errors
    assert said.count("trained simclr_at.digits in") == said.count("next: clbench eval") == 1
    assert errors.count("pretraining 1/1: loss") == 1
    assert "deprecated" not in errors
    record = read_record(out)
    assert (record.processes, record.n_train) == (2, 1257)
    assert "| Training | " in (out / "card.md").read_text(encoding="utf-8")
    assert " on 2 x cpu" in (out / "card.md").read_text(encoding="utf-8")
