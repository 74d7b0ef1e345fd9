"""``clbench head`` as it is typed, and what names it."""

import json
import shlex

import pytest
import typer
from typer.testing import CliRunner

import clbench
from clbench.cli import app
from clbench.models import build_backbone
from clbench.models.importing.write import write_model
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import ModelError
from clbench.schema.head import read_method
from clbench.schema.imported import ImportedModel

SHORT = (
    *("--set", "finetuning.epochs=1", "--set", "finetuning.optimizer.milestones=[1]"),
    *("--set", "validation.steps=1", "--set", "validation.examples=30", "--seeds", "2"),
)


def invoke(*words):
    return CliRunner().invoke(app, [str(one) for one in words], env={"COLUMNS": "200"})


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """A folder with an imported encoder, below the working folder."""
    monkeypatch.chdir(tmp_path)
    network = build_backbone("resnet10_w16", 1, 0).eval()
    options = {"block": "basic", "layers": [1, 1, 1, 1], "width": 16, "in_chans": 1}
    entry = ImportedModel(
        *("enc", "cifar", "resnet10_w16", options | {"num_classes": 0}, 0, (0.0,), (1.0,), {}),
        *("torch", "names", "", (), "some.pt", "", state_sha256(network)),
    )
    folder = tmp_path / "my encoder"
    write_model(folder, network, entry)
    return folder


def test_the_command_that_a_refusal_names_works_as_it_stands(encoder):
    with pytest.raises(ModelError, match="has no classifier: it is an encoder") as refusal:
        clbench.evaluate("my encoder", attack="pgd,steps=1", out=None)
    line = str(refusal.value)
    assert "\n" not in line
    command = line.partition("fit one: clbench ")[2].partition(" (or alf, aff)")[0]
    words = shlex.split(command)
    options = ("--method", "slf", "--dataset", "digits", "--out", "my encoder-slf")
    assert words == ["head", "my encoder", *options]
    done = invoke(*words, *SHORT)
    assert done.exit_code == 0, done.output
    next_one = shlex.split(done.stdout.splitlines()[-1].removeprefix("next: clbench "))
    assert next_one == ["eval", "--model", "my encoder-slf/seed-0"]
    again = invoke(*next_one, "--attack", "pgd,steps=1", "--n-examples", 8, "--no-probe")
    assert again.exit_code == 0, again.output


def test_on_images_of_ones_own_the_refusal_asks_for_training_images(encoder):
    images = clbench.load_data("digits", n_examples=4)
    with pytest.raises(ModelError, match="--data TRAINING_IMAGES --out 'my encoder-slf'"):
        clbench.evaluate("my encoder", data=images, eps="1/6", attack="pgd,steps=1", out=None)


def test_a_table_shows_every_seed_and_the_mean(tmp_path):
    done = invoke("head", "simclr_at", "--method", "SLF", "--dataset", "digits", *SHORT,
                  "--out", tmp_path)  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "simclr_at.digits-slf: 30 validation images, robust under PGD-1, Linf 1/6"
    assert [line.split()[0] for line in lines[2:5]] == ["0", "1", "mean"]
    assert " +- " in lines[4]
    assert "slf of seed 1 1/1: loss" in done.stderr
    again = invoke("head", "simclr_at", "--method", "slf", "--dataset", "digits", *SHORT,
                   "--out", tmp_path)  # fmt: skip
    assert "already there (--restart fits again)" in again.stdout


def test_machines_get_the_summary(tmp_path):
    words = ("head", "simclr_at", "--method", "slf", "--dataset", "digits", *SHORT)
    done = invoke(*words, "--out", tmp_path, "--json")
    found = json.loads(done.stdout)
    assert (found["new"], found["summary"]["seeds"]) == (True, [0, 1])
    assert invoke(*words, "--out", tmp_path, "--quiet").stdout == ""


TYPED = {
    "unknown method": (("--method", "lsf"), "unknown method of a head 'lsf'"),
    "no method": ((), "missing option '--method'"),
    "seeds": (("--method", "slf", "--seeds", "0"), "--seeds must be a whole number from 1 to"),
    "archives of nothing": (
        ("--method", "slf", "--data-dir", "."),
        "--data-dir has no effect without --dataset",
    ),
    "archives of digits": (
        ("--method", "slf", "--dataset", "digits", "--data-dir", "."),
        "--data-dir has no effect on digits",
    ),
    "a change without a value": (
        ("--method", "slf", "--dataset", "digits", "--set", "finetuning.epochs"),
        "--set must read like finetuning.epochs=30",
    ),
    "no images": (("--method", "slf"), "give --dataset or --data FILE"),
    "unknown encoder": (
        ("--method", "slf", "--dataset", "digits"),
        "unknown model 'simclr_att'; did you mean 'simclr_at'",
    ),
}


@pytest.mark.parametrize("case", TYPED)
def test_what_is_typed_wrongly_is_one_line_and_status_2(case, fork, tmp_path):
    words, says = TYPED[case]
    name = "simclr_att" if case == "unknown encoder" else "simclr_at"
    child = fork(["clbench", "head", name, *words, "--out", "out"], tmp_path)
    assert child.status() == 2
    (line,) = child.err.read_text().splitlines()
    assert line.startswith(f"clbench: {says}") or says in line
    assert not (tmp_path / "out").exists()


def test_methods_are_completed_and_read():
    assert [read_method(one) for one in ("slf", "ALF", "aff")] == ["slf", "alf", "aff"]
    command = typer.main.get_command(app)
    assert "head" in command.commands
