"""Saved progress: the classic's file, a run that goes on, and files that are of no use."""

import json

import pytest
import torch
from pyautoattack.state import EvaluationState as ClassicState

from clbench.interop.autoattack_class import AutoAttack
from clbench.interop.autoattack_state import EvaluationState
from clbench.schema.errors import BadValueError, RecordError, StorageError

ATTACKS = ["apgd-ce", "square"]


class Stopped(torch.nn.Module):
    """A network that is stopped, like by Ctrl-C, after some calls."""

    def __init__(self, network, calls=None):
        super().__init__()
        self.network, self.left, self.calls = network, calls, 0

    def forward(self, x):
        self.calls += 1
        if self.calls == self.left:
            raise KeyboardInterrupt
        return self.network(x)


def run(network, images, labels, path, **changes):
    options = {"eps": 0.03, "seed": 0, "version": "custom", "attacks_to_run": ATTACKS}
    adversary = AutoAttack(network, verbose=False, device="cpu", **(options | changes))
    adversary.apgd.n_restarts, adversary.apgd.n_iter, adversary.square.n_queries = 1, 4, 40
    return adversary.run_standard_evaluation(images, labels, bs=12, state_path=path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.json"


def test_the_file_has_the_fields_of_the_classic(path, tmp_path):
    theirs = ClassicState({"square"}, path=tmp_path / "theirs.json")
    theirs.to_disk(force=True)
    EvaluationState(["square"], path).to_disk()
    assert list(json.loads(path.read_text())) == list(
        json.loads((tmp_path / "theirs.json").read_text())
    )


def test_what_is_written_is_read_again(path):
    state = EvaluationState(ATTACKS, path)
    state.start(torch.tensor([True, False, True, True]))
    state.add_run_attack("square")
    again = EvaluationState.from_disk(str(path))
    assert again.attacks_to_run == set(ATTACKS)
    assert again.run_attacks == ["square"]
    assert again.still_robust.tolist() == [True, False, True, True]
    assert again.clean_accuracy == again.robust_accuracy == 0.75


def test_the_mean_of_the_flags_is_the_robust_accuracy(path):
    EvaluationState(ATTACKS, path).start(torch.tensor([True, False, False, False]))
    assert EvaluationState.from_disk(path).robust_flags.mean().item() == 0.25


def test_a_file_that_the_classic_wrote_is_read(path):
    theirs = ClassicState({"square", "apgd-ce"}, path=path)
    theirs.robust_flags = torch.tensor([True, False])
    theirs.to_disk(force=True)
    assert isinstance(json.loads(path.read_text())["_attacks_to_run"], str), "the text of a set"
    state = EvaluationState.from_disk(path)
    assert state.attacks_to_run == {"square", "apgd-ce"}
    assert state.still_robust.tolist() == [True, False]


def test_a_fresh_state_has_no_flags(path):
    EvaluationState(ATTACKS, path).to_disk()
    assert EvaluationState.from_disk(path).robust_flags is None


@pytest.mark.parametrize("calls", [3, 10, 12, 20, 40])
def test_a_run_that_was_stopped_goes_on_to_the_same_verdicts(
    calls, network, images, labels, path, tmp_path
):
    run(network, images, labels, tmp_path / "whole.json")
    with pytest.raises(KeyboardInterrupt):
        run(Stopped(network, calls), images, labels, path)
    run(network, images, labels, path)
    ends = [json.loads(file.read_text()) for file in (path, tmp_path / "whole.json")]
    assert ends[0]["_robust_flags"] == ends[1]["_robust_flags"]
    assert ends[0]["_run_attacks"] == ends[1]["_run_attacks"] == ATTACKS
    assert 0 < sum(ends[0]["_robust_flags"]) < 11, "some images break and some do not"


def test_a_finished_run_is_not_run_again(network, images, labels, path):
    run(network, images, labels, path)
    counted = Stopped(network)
    found = run(counted, images, labels, path)
    assert counted.calls < 10, "only checks and the clean images"
    assert torch.equal(found, images)


def test_a_state_of_other_attacks_is_refused(network, images, labels, path):
    EvaluationState(["fab"], path).to_disk()
    with pytest.raises(BadValueError, match=r"is of \['fab'\], this run is of \['apgd-ce', 'squ"):
        run(network, images, labels, path)


def test_a_state_of_other_images_is_refused(network, images, labels, path):
    run(network, images, labels, path)
    with pytest.raises(BadValueError, match="is of 12 images, this run is of 5; give another"):
        run(network, images[:5], labels[:5], path)


@pytest.mark.parametrize("content", ['{"_attacks_to_run": ["squ', "[]", "{}", '{"path": 3}'])
def test_a_damaged_state_is_refused(content, path):
    path.write_text(content)
    with pytest.raises(RecordError, match=r"state .*state.json is cut off or none of AutoAttack"):
        EvaluationState.from_disk(path)


def test_a_missing_state_is_refused(path):
    with pytest.raises(RecordError, match=r"state .*state.json cannot be read: No such file"):
        EvaluationState.from_disk(path)


def test_a_state_that_cannot_be_written_says_so(network, images, labels, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*state.json: Not a directory; choose"):
        run(network, images, labels, tmp_path / "file" / "state.json")
