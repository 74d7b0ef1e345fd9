import json

from typer import Typer
from typer.testing import CliRunner

from clbench.cli.models import models
from clbench.models import ZOO
from clbench.models.sources.python import ENTRY_POINT_GROUP

app = Typer()
app.command()(models)


def show(*arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_training_has_a_row_with_its_tags():
    rows = [line.split() for line in show().splitlines()]
    assert ["model", "scheme", "scenario", "digits", "cifar10", "cifar100"] in rows
    assert ["simclr_at", "simclr", "at", "package", "package", "-"] in rows
    assert {spec.name for spec in ZOO} <= {row[0] for row in rows if row}


def test_other_doors_are_named():
    assert "timm:NAME" in show()
    assert "clbench train NAME --dataset DATASET --out DIR" in show()


def test_table_fits_a_terminal():
    assert max(len(line.rstrip()) for line in show().splitlines()) < 80


def test_machines_get_one_row_for_each_model():
    rows = json.loads(show("--json"))
    assert [row["model"] for row in rows] == [spec.full_name for spec in ZOO]
    assert rows[0] == {
        "model": "simclr_st.digits",
        "scheme": "simclr",
        "scenario": "st",
        "dataset": "digits",
        "backbone": "resnet18_w16",
        "weights": "package",
    }
    assert rows[-1]["weights"] == ""


def test_models_of_other_packages_are_shown(tmp_path, monkeypatch):
    info = tmp_path / "nets-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nmy_net = nets:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = json.loads(show("--json"))
    assert (rows[-1]["model"], rows[-1]["weights"], rows[-1]["scheme"]) == (
        "my_net",
        "nets:make",
        "",
    )
    assert ["my_net", "nets:make"] in [line.split() for line in show().splitlines()]
    assert "registered by installed packages" in show().splitlines()
