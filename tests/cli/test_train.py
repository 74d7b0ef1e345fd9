import json

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from clbench.cli.train import train
from clbench.data.load import training_set
from clbench.models.weights import read_about
from clbench.schema.errors import (
    BadValueError,
    DataError,
    InstallationError,
    ModelError,
    StorageError,
    UnknownNameError,
)
from clbench.training import images, loop

app = Typer()
app.command()(train)

SHORT = {
    "backbone": "resnet10_w16",
    "validation.steps": "1",
    "pretraining.epochs": "1",
    "pretraining.batch_size": "16",
    "finetuning.epochs": "1",
}
TWO_PHASES = [word for field, text in SHORT.items() for word in ("--set", f"{field}={text}")]
ONE_PHASE = TWO_PHASES[:-2]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def short(monkeypatch):
    """Let every training see a few digits only."""
    monkeypatch.setattr(images, "training_set", lambda *a, **k: training_set(*a, **k).head(20))


@pytest.mark.usefixtures("short")
def test_a_training_says_what_it_reached_and_what_comes_next(tmp_path):
    out = tmp_path / "run"
    done = invoke("simclr_at", *TWO_PHASES, "--out", out)
    assert done.exit_code == 0, done.output
    assert "pretraining 1/1: loss" in done.stderr
    assert "finetuning 1/1: loss" in done.stderr
    assert "trained simclr_at.digits in" in done.stdout
    assert f"clbench eval --model simclr_at.digits --weights {out / 'weights.safetensors'}" in (
        done.stdout
    )


@pytest.mark.usefixtures("short")
def test_machines_get_the_record_of_a_training(tmp_path):
    done = invoke("supervised_st", *ONE_PHASE, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model"] == "supervised_st.digits"
    again = invoke("supervised_st", *ONE_PHASE, "--out", tmp_path, "--json", "--quiet")
    assert again.stdout == done.stdout


@pytest.mark.usefixtures("short")
def test_the_same_command_again_says_that_it_is_done(tmp_path):
    invoke("supervised_st", *ONE_PHASE, "--out", tmp_path)
    again = invoke("supervised_st", *ONE_PHASE, "--out", tmp_path)
    assert again.exit_code == 0
    assert again.stdout.count("\n") == 1
    assert again.stdout.startswith(f"{tmp_path} already holds this training (validation: clean")
    assert again.stdout.endswith("--restart trains again\n")


@pytest.mark.usefixtures("short")
def test_quiet_prints_nothing(tmp_path):
    done = invoke("supervised_at", *ONE_PHASE, "--out", tmp_path, "--quiet")
    assert done.exit_code == 0
    assert done.output == ""
    assert (tmp_path / "weights.safetensors").exists()


@pytest.mark.usefixtures("short")
def test_the_pretraining_of_another_run_is_reused(tmp_path):
    invoke("supcon_at", *TWO_PHASES, "--out", tmp_path / "at", "--quiet")
    done = invoke(
        "supcon_partial_at", *TWO_PHASES, "--from", tmp_path / "at", "--out", tmp_path / "partial"
    )
    assert done.exit_code == 0, done.output
    assert "pretraining 1/1" not in done.stderr


@pytest.mark.usefixtures("short")
def test_an_interrupted_training_exits_as_shells_expect(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_recipe", interrupt)
    done = invoke("simclr_at", *TWO_PHASES, "--out", tmp_path)
    assert done.exit_code == 130
    assert done.stderr.startswith(f"clbench: interrupted; the same command goes on with {tmp_path}")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["simclr_att"], UnknownNameError, "'simclr_att'; did you mean 'simclr_at'?"),
        (["simclr_at", "--dataset", "digit"], UnknownNameError, "did you mean 'digits'?"),
        (
            ["simclr_at", "--dataset", "cifar100"],
            BadValueError,
            "cifar100 needs --data-dir",
        ),
        (["simclr_at", "--recipe", "papr"], UnknownNameError, "unknown recipe of digits 'papr'"),
        (["simclr_at", "--set", "epochs"], BadValueError, "--set must read like finetuning.epochs"),
        (
            ["simclr_at", "--set", "pretraining.epoch=3"],
            UnknownNameError,
            "'epoch'; did you mean 'epochs'?",
        ),
        (["simclr_at", "--data", "no.npz"], DataError, "no.npz"),
        (
            ["simclr_at", "--device", "tpu"],
            BadValueError,
            "--device must be auto, cpu, cuda or cuda:N",
        ),
        (["simclr_full_at", "--from", "nowhere"], BadValueError, "nowhere holds no finished"),
    ],
)
def test_bad_input_is_met_in_one_line(tmp_path, arguments, kind, message):
    done = invoke(*arguments, "--out", tmp_path / "run")
    assert isinstance(done.exception, kind)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    done = invoke("supervised_st", *ONE_PHASE, "--out", tmp_path / "file" / "run")
    assert isinstance(done.exception, StorageError)
    assert "cannot" in str(done.exception)


def test_a_diverged_training_is_one_line(tmp_path, monkeypatch):
    def diverge(*arguments, **options):
        raise ModelError("loss of simclr_at.digits became nan in epoch 3 of pretraining; lower")

    monkeypatch.setattr(loop, "train_recipe", diverge)
    done = invoke("simclr_at", *TWO_PHASES, "--out", tmp_path)
    assert isinstance(done.exception, ModelError)


@pytest.mark.usefixtures("short")
def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    done = invoke("supervised_st", *ONE_PHASE, "--out", tmp_path, "--tensorboard")
    assert isinstance(done.exception, InstallationError)
    assert "pip install 'clbench[tensorboard]'" in str(done.exception)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("name", "model", "scenario"),
    [
        ("semi_simclr_supervised", "simclr_st.digits", "st"),
        ("semi_supcon_supervised", "supcon_st.digits", "st"),
        ("trades", "supervised_at.digits", "at"),
        ("supervised_full_at", "supervised_at.digits", "full_at"),
    ],
)
def test_what_comes_next_is_a_network_of_the_same_scheme_and_scenario(
    tmp_path, name, model, scenario
):
    phases = ONE_PHASE if name == "trades" else TWO_PHASES
    done = invoke(name, *phases, "--out", tmp_path / "a run")
    assert done.exit_code == 0, done.output
    weights = tmp_path / "a run" / "weights.safetensors"
    assert done.stdout.endswith(f"next: clbench eval --model {model} --weights '{weights}'\n")
    about = read_about(weights)
    assert about["model"] == f"{name}.digits"
    assert about["scenario"] == scenario


def test_what_comes_next_names_the_protocol_of_another_data_set(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(40) % 10)
    options = ("--dataset", "cifar10", "--recipe", "narrow", "--precision", "float32")
    done = invoke(
        *(
            "supervised_st",
            *options,
            "--set",
            "pretraining.epochs=1",
            "--set",
            "validation.steps=1",
        ),
        *("--data", tmp_path / "mine.npz", "--out", tmp_path / "run"),
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(" --protocol cifar10-linf --data-dir DIR\n")


def test_a_field_given_twice_is_refused(tmp_path):
    twice = ("--set", "pretraining.epochs=1", "--set", "pretraining.epochs=2")
    done = invoke("supervised_st", *twice, "--out", tmp_path)
    assert isinstance(done.exception, BadValueError)
    assert str(done.exception) == "--set pretraining.epochs is there twice; leave one of them out"
