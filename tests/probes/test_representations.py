import pytest
import torch
from torch import nn

from clbench.probes.layers import find_layers
from clbench.probes.similarity.representations import Inputs, Representation, check_representations
from clbench.schema.errors import BadValueError


def represented(name, inputs):
    return Representation(name, nn.Identity(), inputs)


def test_a_representation_has_the_usual_layers_unless_others_are_given(small_resnet):
    inputs = Inputs(torch.rand(4, 1, 6, 6))
    assert Representation("a", small_resnet, inputs).layers == find_layers(small_resnet)
    one = {"logits": find_layers(small_resnet)["logits"]}
    assert Representation("a", small_resnet, inputs, one).layers == one


def test_the_same_images_are_the_same_examples():
    images = torch.rand(300, 1, 2, 2)
    assert Inputs(images).examples == Inputs(images.clone()).examples
    assert Inputs(images).examples != Inputs(images.flip(0)).examples
    assert len(Inputs(images)) == 300


def test_adversarial_images_are_the_same_examples_and_know_their_target():
    clean = Inputs(torch.rand(20, 1, 6, 6))
    attacked = clean.attacked((clean.images + 0.1).clamp(0, 1), against="simclr_st")
    assert attacked.examples == clean.examples
    assert attacked.against == "simclr_st"
    assert list(check_representations([represented("a", clean), represented("b", attacked)])) == [
        "a",
        "b",
    ]


@pytest.mark.parametrize("change", [0, 0.03, 0.2])
def test_adversarial_images_in_another_order_are_refused(change):
    clean = Inputs(torch.rand(20, 1, 6, 6))
    shuffled = (clean.images.roll(1, 0) + change * torch.randn(20, 1, 6, 6)).clamp(0, 1)
    with pytest.raises(BadValueError, match="must be in the order of the clean ones, got images"):
        clean.attacked(shuffled, against="a")


def test_adversarial_images_of_another_number_are_refused():
    clean = Inputs(torch.rand(5, 1, 2, 2))
    with pytest.raises(BadValueError, match=r"shape \[5, 1, 2, 2\] of the clean ones, got \[4, 1"):
        clean.attacked(clean.images[:4], against="a")


def test_images_that_an_attack_left_alone_are_in_order():
    clean = Inputs(torch.zeros(5, 1, 2, 2))
    assert clean.attacked(clean.images, against="a").images.equal(clean.images)


@pytest.mark.parametrize(
    "other", [Inputs(torch.rand(6, 1, 2, 2), "f"), Inputs(torch.rand(5, 1, 2, 2), "e")]
)
def test_other_examples_are_refused(other):
    first = Inputs(torch.rand(6, 1, 2, 2), "e")
    with pytest.raises(BadValueError, match="'a' and 'b' must show the same examples in the same"):
        check_representations([represented("a", first), represented("b", other)])


def test_two_representations_of_one_name_are_refused_and_none_at_all():
    inputs = Inputs(torch.rand(4, 1, 2, 2))
    with pytest.raises(BadValueError, match=r"must have different names.*got \['a', 'a'\]"):
        check_representations([represented("a", inputs), represented("a", inputs)])
    with pytest.raises(BadValueError, match=r"be one at least, got \[\]"):
        check_representations([])
