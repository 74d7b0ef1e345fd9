"""The example of a plug-in, installed into an environment of its own, is found by every command."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs clbench where the plug-in is installed, and all else as here."""
    folder = tmp_path_factory.mktemp("plugin")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    (site / "everything_else.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    source = folder / "source"
    subprocess.run(["cp", "-r", PLUGIN, source], check=True)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    subprocess.run([*pip, *offline, source], check=True)

    def ran(*arguments):
        done = subprocess.run(
            [python, "-W", "ignore", "-m", "clbench", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ran


@pytest.mark.slow
def test_a_model_an_attack_and_a_data_set_are_found(run):
    what = ("--model", "parity_mlp", "--data", "digits_parity", "--attack", "worst_of_noise")
    record = run("eval", *what, "--norm", "Linf", "--eps", "1/8", "--no-probe", "--json")
    values = {one["name"]: one["value"] for one in record["measures"]}
    assert record["data"]["n"] == 360
    assert values["clean_acc"] > 0.95
    assert values["robust_acc"] < values["clean_acc"]
    assert record["attack"]["parameters"]["worst_of_noise"]["n_queries"] == 50
    assert "clbench-parity 0.1.0" in record["model"]["source"]


@pytest.mark.slow
def test_a_measure_is_found(run):
    what = ("--model", "parity_mlp", "--data", "digits_parity", "--measure", "distances")
    less = ("--comparison", "clean-clean", "--no-figures", "--n-examples", "100", "--eps", "1/8")
    found = run("probe", *what, *less, "--json")
    assert found["measure"] == "distances"
