import io
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

from clbench.data.image_set import Shard, make_image_set
from clbench.evaluation.confirm import Confirmed
from clbench.evaluation.state import CLEAN, ROBUST, EvaluationState, Mismatch
from clbench.schema.errors import BadValueError
from clbench.schema.files import seal, unseal

MADE_WITH = {"torch": "2.0", "device": "cpu"}
LOGITS = torch.randn(3, 4)


@pytest.fixture
def images():
    return make_image_set("ten", torch.rand(10, 1, 4, 4), torch.arange(10) % 3, 3)


@pytest.fixture
def state(images):
    clean_pred = images.labels.clone()
    clean_pred[[2, 7]] = 9
    return EvaluationState.begin("run", images, clean_pred, LOGITS)


def confirmed(where, broken):
    images = torch.rand(len(where), 1, 4, 4)
    return Confirmed(images, where + 50, torch.tensor(broken), {"seen": len(where)})


def attacked(state):
    """Two components, the second one in the middle of its work."""
    first = state.pending(0)
    state.take(0, first, confirmed(first, (first % 4 == 0).tolist()))
    second = state.pending(1)[:2]
    state.take(1, second, confirmed(second, [True, False]))
    state.seconds, state.forward_passes, state.backward_passes = 2.5, 10**12, 7
    return state


def assert_same(one, other):
    for field in fields(EvaluationState):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        same = torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs
        assert same, field.name


def test_misclassified_images_are_never_attacked(state):
    assert state.pending(0).tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    assert state.broken_by[[2, 7]].tolist() == [CLEAN, CLEAN]


def test_a_component_has_to_attack_what_those_before_it_left_robust(state):
    attacked(state)
    assert state.pending(0).tolist() == []
    assert state.pending(1).tolist() == [5, 6, 9]
    assert state.pending(2).tolist() == [3]
    assert state.n_robust == 4


def test_answers_are_kept_where_an_attack_broke(state):
    where = torch.tensor([0, 1, 3])
    state.take(0, where, confirmed(where, [True, False, True]))
    assert state.adv_pred[[0, 1, 3]].tolist() == [50, 1, 53]
    assert state.broken_by[[0, 1, 3]].tolist() == [0, ROBUST, 0]
    assert state.flags == {"seen": 3}


def test_what_is_to_be_broken_again_waits_for_what_broke_it(state):
    attacked(state)
    left = state.n_robust
    state.break_again(torch.tensor([4, 1]))  # which the first and the second component broke
    assert state.pending(0).tolist() == [4]
    assert state.pending(1).tolist() == [1, 5, 6, 9]
    assert state.n_robust == left + 2
    assert state.adv_pred[[1, 4]].tolist() == state.clean_pred[[1, 4]].tolist()


def load(data, images, identity="run", logits=LOGITS, made_with=MADE_WITH):
    return EvaluationState.from_bytes(data, identity, images, logits, made_with)


def test_loading_is_the_inverse_of_saving(state, images):
    attacked(state)
    assert_same(load(state.to_bytes(MADE_WITH), images), state)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identity": "another"}, "it is of another run or another network"),
        ({"logits": -LOGITS}, "the network answers otherwise now"),
        (
            {"made_with": {"torch": "2.1", "device": "cpu"}},
            "it was made with another torch (torch 2.0)",
        ),
    ],
)
def test_what_cannot_be_gone_on_from_says_why(state, images, change, reason):
    assert load(state.to_bytes(MADE_WITH), images, **change) == Mismatch(reason)


def test_a_state_of_other_examples_is_refused(state, images):
    other = images.select(torch.arange(1, 10))
    found = load(state.to_bytes(MADE_WITH), other)
    assert found == Mismatch("it is of another run or another network")


@pytest.mark.parametrize("data", [b"", b"nothing", b"clbench sha256 00\n"])
def test_bytes_that_are_no_state_are_damaged(images, data):
    assert load(data, images) == Mismatch("it is damaged")


@pytest.mark.parametrize("lost", ["broken_by", "logits", "image_sums", "about"])
def test_a_sealed_state_that_lacks_an_array_is_damaged(state, images, lost):
    with np.load(io.BytesIO(unseal(state.to_bytes(MADE_WITH)))) as file:
        arrays = {name: file[name] for name in file.files if name != lost}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    assert load(seal(buffer.getvalue()), images) == Mismatch("it is damaged")


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_merging_is_the_inverse_of_cutting(state, of):
    attacked(state)
    parts = [state.shard(Shard(number, of)) for number in range(of)]
    assert_same(EvaluationState.merge(parts[::-1]), state)


def test_shards_of_images_keep_their_places(images):
    parts = [images.shard(Shard(number, 3)) for number in range(3)]
    assert [part.index.tolist() for part in parts] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert {part.whole for part in parts} == {images.id}


def test_a_merge_refuses_a_gap(state):
    parts = [state.shard(Shard(number, 3)) for number in (0, 2)]
    with pytest.raises(BadValueError, match="must hold all 10 examples of ten, got 7"):
        EvaluationState.merge(parts)


def test_a_merge_refuses_an_overlap(state):
    parts = [state.shard(Shard(0, 2)), state]
    with pytest.raises(BadValueError, match="got example 0 of ten in two of them"):
        EvaluationState.merge(parts)


def test_a_merge_refuses_parts_of_another_run(state):
    one, other = (state.shard(Shard(number, 2)) for number in range(2))
    other.identity = "another"
    with pytest.raises(BadValueError, match="parts must be of one run, got 'run' on ten and"):
        EvaluationState.merge([one, other])


def test_a_merge_of_nothing_is_refused():
    with pytest.raises(BadValueError, match="nothing to merge"):
        EvaluationState.merge([])


def test_flags_are_counted_over_all_parts(state):
    attacked(state)
    parts = [state.shard(Shard(number, 2)) for number in range(2)]
    parts[1].flags = Counter({"seen": 1, "nan_logits": 2})
    assert EvaluationState.merge(parts).flags == {"seen": 11, "nan_logits": 2}
