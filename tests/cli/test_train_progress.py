from clbench.cli.render.training_progress import training_progress
from clbench.training.phases import Epoch
from clbench.training.recipe_file import read_recipe


def lines_of(epochs, capsys):
    phase = read_recipe("simclr_st", "digits").phases["pretraining"]
    with training_progress(None, shown=True) as hooks:
        hooks["on_start"]({"pretraining": phase}, [])
        for row in epochs:
            hooks["on_epoch"](row)
    return [line.partition(":")[0] for line in capsys.readouterr().err.splitlines() if line]


def epochs(seconds, n=5):
    return [
        Epoch("pretraining", k, n, 0.1, 0.0, 5.0, None, None, 300.0, seconds)
        for k in range(1, n + 1)
    ]


def test_slow_epochs_have_a_line_each(capsys):
    assert lines_of(epochs(seconds=60.0), capsys) == [f"pretraining {k}/5" for k in range(1, 6)]


def test_quick_epochs_share_a_line(capsys):
    assert lines_of(epochs(seconds=25.0), capsys) == [
        "pretraining 1/5",
        "pretraining 4/5",
        "pretraining 5/5",
    ]
