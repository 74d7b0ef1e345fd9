import io
from dataclasses import replace

import pytest
import torch

from clbench.schema.errors import BadValueError, RecordError, StorageError
from clbench.schema.files import seal
from clbench.training.checkpoint import (
    FILE,
    Checkpoint,
    discard_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from clbench.training.phases import Epoch

SETTINGS = {"model": "net", "recipe": {"seed": 0, "pretraining": {"eps": "1/5"}}, "--from": ""}
CHECKPOINT = Checkpoint(
    settings=SETTINGS,
    phase="finetuning",
    state={"epoch": 2, "model": {"weight": torch.arange(3.0)}},
    selected={"pretraining": 4},
    rows=(Epoch("pretraining", 1, 4, 0.1, 0.2, 0.5, None, None, 300.0, 2.5),),
    seconds=12.5,
)


TABLE = vars(CHECKPOINT) | {"rows": [vars(row) for row in CHECKPOINT.rows]}
"""What the file holds."""


def write_sealed(content, folder):
    data = io.BytesIO()
    torch.save(content, data)
    (folder / FILE).write_bytes(seal(data.getvalue()))


def test_a_checkpoint_survives_a_round_trip(tmp_path):
    write_checkpoint(tmp_path / "run", CHECKPOINT)
    found = read_checkpoint(tmp_path / "run", SETTINGS)
    assert torch.equal(found.state["model"]["weight"], torch.arange(3.0))
    assert replace(found, state={}) == replace(CHECKPOINT, state={})


def test_where_there_is_none_there_is_none(tmp_path):
    assert read_checkpoint(tmp_path / "no", SETTINGS) is None
    (tmp_path / "file").touch()
    assert read_checkpoint(tmp_path / "file", SETTINGS) is None


def test_a_discarded_checkpoint_is_gone_and_discarding_none_is_no_error(tmp_path):
    write_checkpoint(tmp_path, CHECKPOINT)
    discard_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path, SETTINGS) is None
    discard_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "model"),
        ({"recipe": {"seed": 1}}, "recipe"),
        ({"model": "other", "--from": "at"}, "model and --from"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, named):
    write_checkpoint(tmp_path, CHECKPOINT)
    message = (
        rf"^{tmp_path} holds a training under way with another {named}; choose another --out, or "
        "replace it with --restart$"
    )
    with pytest.raises(BadValueError, match=message):
        read_checkpoint(tmp_path, SETTINGS | change)


@pytest.mark.parametrize("kept", [0, 1, 100, 700, -1])
def test_a_cut_off_checkpoint_is_named(tmp_path, kept):
    write_checkpoint(tmp_path, CHECKPOINT)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        RecordError, match=r"checkpoint\.pt is damaged: its .*; train again with --re"
    ):
        read_checkpoint(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "content",
    [
        *({"phase": "x"}, [1, 2], 5, torch.ones(2)),
        {**TABLE, "more": 1},
        {**TABLE, "rows": [{"phase": "pretraining"}]},
    ],
)
def test_a_file_with_something_else_is_named(tmp_path, content):
    write_sealed(content, tmp_path)
    with pytest.raises(
        RecordError, match=r"checkpoint\.pt is damaged: .*; train again with --restart"
    ):
        read_checkpoint(tmp_path, SETTINGS)


def test_a_checkpoint_without_a_checksum_is_refused(tmp_path):
    torch.save(vars(CHECKPOINT), tmp_path / FILE)
    message = r"checkpoint\.pt is damaged: its last line holds no checksum; train again with --rest"
    with pytest.raises(RecordError, match=message):
        read_checkpoint(tmp_path, SETTINGS)


def test_no_code_of_a_checkpoint_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trap"), "w"))

    write_sealed(TABLE | {"seconds": Trap()}, tmp_path)
    with pytest.raises(RecordError, match="is damaged"):
        read_checkpoint(tmp_path, SETTINGS)
    assert not (tmp_path / "trap").exists()


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, CHECKPOINT)

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(StorageError, match=r"^cannot write .*checkpoint\.pt: No space left"):
        write_checkpoint(tmp_path, replace(CHECKPOINT, phase="pretraining"))
    assert read_checkpoint(tmp_path, SETTINGS).phase == "finetuning"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
