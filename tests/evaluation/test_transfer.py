"""Adversarial images of finished runs as a component: what they break, where, and what is said."""

from fractions import Fraction

import pytest
import torch
from torch import nn

import clbench
from clbench.schema.errors import BadValueError, RecordError
from clbench.schema.record_files import read_record

N = 20
IMAGES = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, images):
        return self.layers(images)


class Masked(Plain):
    """The same answers but for a few, and no gradient."""

    def forward(self, images):
        return super().forward((images * 64).round() / 64)


def labels():
    with torch.no_grad():
        return Plain().eval()(IMAGES).argmax(1)


def evaluated(network, out, attack="pgd,steps=10", data=None, **settings):
    given = {"data": data or (IMAGES, labels()), "eps": "1/10", "probe": False} | settings
    return clbench.evaluate(network.eval(), attack=attack, out=out, **given)


@pytest.fixture
def source(tmp_path):
    return evaluated(Plain(), tmp_path / "source", evidence="full").paths.record


def test_images_of_a_relative_break_what_a_masked_network_hides(tmp_path, source):
    out, attack = tmp_path / "out", "pgd,steps=10,start=zero"
    alone = evaluated(Masked(), out, attack).record
    done = evaluated(Masked(), out, attack, transfer_from=[source])
    record, relative = done.record, read_record(source)
    assert alone.measure("robust_acc").value == 1.0
    broken = round(N * (1 - relative.measure("robust_acc").value))
    assert broken > 5
    found = done.examples.broken_by.tolist().count("transfer")
    assert found > 0.7 * broken
    flag = next(one for one in record.flags if one.name == "transfer_improves")
    assert (flag.value, flag.threshold) == (found, 1.0)
    assert record.unreliable
    assert record.attack.name == "pgd + transfer"
    assert record.attack.parameters["transfer"] == {"evidence": relative.evidence_sha256}
    assert record.attack.hash != alone.attack.hash
    assert record.protocol == "custom"
    assert done.examples.certificates is not None
    assert clbench.verify(out).problems == ()


def test_it_costs_one_pass_of_an_image_that_stands(tmp_path, source):
    robust = evaluated(Plain(), tmp_path / "out", eps="1/10")
    again = evaluated(Plain(), tmp_path / "out", eps="1/10", transfer_from=[source])
    stood = round(N * robust.record.measure("robust_acc").value)
    assert again.record.counts.forward - robust.record.counts.forward == stood
    assert again.record.measure("robust_acc") == robust.record.measure("robust_acc")
    assert again.record.flags == ()


def test_shards_find_the_same(tmp_path, source):
    whole = evaluated(Masked(), tmp_path / "one", transfer_from=[source], batch_size=8)
    for shard in ("1/2", "2/2"):
        out = tmp_path / "two"
        evaluated(Masked(), out, transfer_from=[source], batch_size=8, shard=shard)
    (joined,) = clbench.merge(tmp_path / "two")
    assert joined.paths.evidence.read_bytes() == whole.paths.evidence.read_bytes()
    assert joined.record.flags == whole.record.flags


def test_two_sources_are_asked_in_their_order(tmp_path, source):
    other = evaluated(Masked(), tmp_path / "b", "square,n_queries=30", evidence="full").paths.record
    done = evaluated(Masked(), None, "pgd,steps=2,start=zero", transfer_from=[source, other])
    hashes = [read_record(one).evidence_sha256 for one in (source, other)]
    assert done.record.attack.parameters["transfer"]["evidence"] == " ".join(hashes)


def test_what_cannot_be_taken_is_refused_in_one_line(tmp_path, source):
    def refused(message, kind=BadValueError, of=source, **settings):
        with pytest.raises(kind, match=message) as caught:
            evaluated(Plain(), tmp_path / "out", transfer_from=[of], **settings)
        assert "\n" not in str(caught.value)

    refused("is of other images", data=(IMAGES[:9], labels()[:9]))
    refused("must be of Linf with at most 1/20, got Linf 1/10", eps="1/20")
    refused("must be of L2 with at most 1, got Linf 1/10", norm="L2", eps="1")
    bare = evaluated(Plain(), tmp_path / "bare", evidence="verdicts").paths.record
    refused("has no adversarial images; run its evaluation again with --evidence full", of=bare)
    lost = tmp_path / "lost.json"
    lost.write_bytes(source.read_bytes())
    refused("does not lie in a folder of results", RecordError, of=lost)
    refused("cannot be read", RecordError, of=tmp_path / "nothing.json")


def test_images_of_a_smaller_ball_are_taken(tmp_path, source):
    done = evaluated(Masked(), None, "pgd,steps=2,start=zero", eps="1/5", transfer_from=[source])
    assert Fraction(done.record.threat_model.eps) == Fraction(1, 5)
    assert "transfer" in done.examples.broken_by.tolist()
