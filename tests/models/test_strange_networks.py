"""Networks of all makes evaluate as the plain one does, bear a flag, or are refused in one line."""

import pytest
import torch

import clbench
from clbench.schema.errors import BadValueError, ModelError
from tests.models.strange import ROWS, FixedView, plain

EPS, STEPS, SIZE = 0.03, 5, 0.012
SOME = 24


@pytest.fixture(scope="module")
def images():
    return torch.rand(SOME, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def evaluate(network, images, labels):
    attack = f"pgd,steps={STEPS},start=zero,step_size={SIZE}"
    return clbench.evaluate(
        network, data=(images, labels), eps="3/100", attack=attack, batch_size=24
    )


def robust_by_plain_pgd(network, images, labels):
    """Return how many images survive, by nothing but torch."""
    current, broken = images.clone(), torch.zeros(len(images), dtype=torch.bool)
    for _ in range(STEPS + 1):
        leaf = current.clone().requires_grad_()
        logits = network(leaf.clone())
        broken |= logits.argmax(1) != labels
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        moved = current + SIZE * gradient.sign()
        current = torch.min(torch.max(moved, images - EPS), images + EPS).clamp(0, 1)
    return int((~broken).sum())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.filterwarnings("ignore")
def test_strange_network(row, images):
    with torch.no_grad():
        labels = (row.like or plain)().eval()(images.clone()).argmax(1)
    if row.refused:
        with pytest.raises((ModelError, BadValueError)) as caught:
            evaluate(row.make(), images, labels)
        message = str(caught.value)
        assert row.refused in message
        assert "\n" not in message
        return
    record = evaluate(row.make(), images, labels).record
    assert set(row.flags) <= set(record.flag_names)
    assert record.unreliable == bool(row.flags)
    if row.like and not row.flags:
        assert record.flags == ()
        wanted = robust_by_plain_pgd(row.like(), images, labels)
        assert 0 < wanted < SOME
        assert abs(round(record.measure("robust_acc").value * SOME) - wanted) <= row.apart


def test_grey_images_from_arrays_with_the_channel_last_lie_in_memory_as_others(images):
    with_channel_last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert with_channel_last.is_contiguous()
    labels = plain()(images).argmax(1)
    records = [evaluate(FixedView(), one, labels).record for one in (images, with_channel_last)]
    assert records[0].measures == records[1].measures
    assert records[0].data == records[1].data


def test_most_of_them_evaluate():
    right = [row for row in ROWS if not row.flags and not row.refused]
    assert len(right) >= 40
