import math
import struct

import pytest

from clbench.training import curves
from clbench.training.curves import FILE, write_curves
from clbench.training.phases import Epoch


def row(phase, epoch, loss=1.0, *, measured=False):
    accuracies = (0.5, 0.25) if measured else (None, None)
    return Epoch(phase, epoch, 10, 0.1, 0.0, loss, *accuracies, 100.0, 1.0)


BOTH = [
    *(row("pretraining", k, 5 / k) for k in range(1, 11)),
    *(row("finetuning", k, 2 / k, measured=k % 5 == 0) for k in range(1, 11)),
]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Return a function that draws rows and gives the lines of each panel, by name."""
    found = []
    finish = curves.Figure.savefig

    def note(figure, *arguments, **options):
        found.extend(
            {line.get_label(): line.get_xydata() for line in axes.get_lines()}
            for axes in figure.axes
        )
        finish(figure, *arguments, **options)

    monkeypatch.setattr(curves.Figure, "savefig", note)

    def draw(rows):
        write_curves(tmp_path, rows)
        return found[-2:]

    return draw


@pytest.mark.parametrize("rows", [[], BOTH[:1], BOTH])
def test_curves_are_a_picture_of_sane_size(tmp_path, rows):
    write_curves(tmp_path, rows)
    data = (tmp_path / FILE).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[12:16] == b"IHDR"
    assert struct.unpack(">II", data[16:24]) == (1050, 390)
    assert data[-8:-4] == b"IEND"
    assert 5_000 < len(data) < 100_000


def test_every_phase_has_a_line_of_its_own_over_all_epochs(drawn):
    losses, _ = drawn(BOTH)
    assert list(losses) == ["pretraining", "finetuning"]
    assert losses["pretraining"].tolist() == [[k, 5 / k] for k in range(1, 11)]
    assert losses["finetuning"].tolist() == [[10 + k, 2 / k] for k in range(1, 11)]


def test_accuracies_are_drawn_where_they_were_measured(drawn):
    _, accuracies = drawn(BOTH)
    assert accuracies["clean"].tolist() == [[15, 0.5], [20, 0.5]]
    assert accuracies["PGD"].tolist() == [[15, 0.25], [20, 0.25]]


def test_a_loss_that_was_no_number_does_not_stop_the_picture(tmp_path):
    write_curves(tmp_path, [row("pretraining", 1, math.nan), row("pretraining", 2)])
    assert (tmp_path / FILE).exists()
