"""What is told while attacks run, where no bar can be drawn."""

import pytest

from clbench.cli.render import evaluation_progress as shown
from clbench.evaluation.progress import Progress


@pytest.fixture
def told(capsys, monkeypatch):
    """Return a function that tells of progress at given seconds, and gives the lines on stderr."""
    clock = {"now": 0.0}
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock["now"])

    def tell(*reports, begin="evaluating a on digits", **options):
        events = []
        write = lambda event, content: events.append(event)  # noqa: E731
        with shown.evaluation_progress(write, begin=begin, shown=True, **options) as hooks:
            for seconds, report in reports:
                clock["now"] = seconds
                hook = "on_progress" if isinstance(report, Progress) else "on_probe"
                hooks[hook](*([report] if isinstance(report, Progress) else report))
        assert len(events) == len(reports)
        return capsys.readouterr().err.splitlines()

    return tell


def at(attack, done, *, within=0.0, eta=None):
    return Progress(attack, 1, 2, done, 90, 0.5, 1.0, eta, within)


def test_the_first_line_says_what_is_evaluated(told):
    assert told((0, at("pgd", 0)))[0] == "evaluating a on digits"
    assert told() == []  # refused before anything began


def test_a_step_is_named_when_it_begins_and_then_every_half_minute(told):
    lines = told(*((t, at("square", 0, within=float(t))) for t in range(1, 66)))
    assert lines[1:] == [
        "square (1/2): about 1 of 90 images, 50.00% still right",
        "square (1/2): about 31 of 90 images, 50.00% still right",
        "square (1/2): about 61 of 90 images, 50.00% still right",
    ]


def test_there_is_not_a_line_for_every_batch(told):
    assert len(told(*((0, at("pgd", done)) for done in range(90)))) == 2


def test_every_step_and_probe_has_a_line(told):
    lines = told((0, at("a", 9)), (0, at("b", 9, eta=3700.0)), (0, ("cka of stage1", 1, 4)))
    assert lines[1:] == [
        "a (1/2): 9 of 90 images, 50.00% still right",
        "b (1/2): 9 of 90 images, 50.00% still right, about 1 h 01 min to go",
        "cka of stage1: 1 of 4",
    ]


def test_names_are_text(told):
    lines = told((0, at("[/x]\x1b[31m", 9)), begin="evaluating [bold]a\x1b[/x]")
    assert lines == [
        "evaluating [bold]a\\x1b[/x]",
        "[/x]\\x1b[31m (1/2): 9 of 90 images, 50.00% still right",
    ]
