import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clbench.training.artifacts import LOG, WEIGHTS
from clbench.training.checkpoint import FILE as CHECKPOINT
from clbench.training.loop import train

CHANGES = {
    "backbone": "resnet10_w16",
    "validation.steps": "1",
    "pretraining.epochs": "3",
    "pretraining.batch_size": "12",
    "pretraining.adversary.steps": "1",
    "finetuning.epochs": "3",
    "finetuning.batch_size": "12",
    "finetuning.adversary.steps": "1",
}


@pytest.fixture
def pictures(digits, tmp_path):
    """A file of a few digits."""
    train_images, _ = digits
    images = train_images.images.permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "few.npz", x=images, y=train_images.labels.numpy())
    return tmp_path / "few.npz"


def kill_again_and_again(out, *arguments):
    """Run the command until it ends by itself."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    script = Path(__file__).with_name("killed_again_and_again.py")
    return subprocess.run(
        [sys.executable, str(script), str(out / LOG), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_a_training_killed_again_and_again_reaches_the_same_weights(pictures, tmp_path):
    out, whole = tmp_path / "killed", tmp_path / "whole"
    train("supcon_full_at", out=whole, changes=CHANGES, data=[pictures])
    done = kill_again_and_again(
        *(out, "train", "supcon_full_at", "--data", pictures, "--out", out),
        *(word for field, text in CHANGES.items() for word in ("--set", f"{field}={text}")),
    )
    assert done.returncode == 0, done.stderr
    # the third run is killed between the checkpoint of an epoch and its row, the seventh one before
    # it writes that it is finished
    kills = re.findall(r"killed after (-?\d+) rows", done.stderr)
    assert [int(rows) for rows in kills] == [-1, 0, 0, 2, 3, 4, 6]
    going_on = re.findall(r"going on after (\w+ \d)", done.stderr)
    assert going_on == [
        *("pretraining 1", "pretraining 2", "pretraining 3"),
        *("finetuning 1", "finetuning 3"),
    ]
    assert "trained supcon_full_at.digits" in done.stdout
    assert (out / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    with (out / LOG).open(encoding="utf-8") as file:
        rows = [(row["phase"], int(row["epoch"])) for row in csv.DictReader(file)]
    assert rows == [(phase, k) for phase in ("pretraining", "finetuning") for k in (1, 2, 3)]
    assert not [path for path in out.iterdir() if CHECKPOINT in path.name]
