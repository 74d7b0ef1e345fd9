import pytest
import torch

from clbench.models.bn_folding import fold
from clbench.training.trained_model import Attacked, TrainedModel

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def make_model(network):
    """Return a factory of models in eval mode; keyword arguments replace heads."""

    def make(**changes):
        heads = {"projection": 8, "classified": True, "cosine": False}
        return TrainedModel(network, **(heads | changes)).eval()

    return make


def test_the_projector_and_the_classifier_look_at_the_pooled_features(make_model, network):
    model = make_model()
    pooled = network.forward_head(network.forward_features(IMAGES), pre_logits=True)
    outputs = model(IMAGES)
    assert torch.equal(outputs.projections, model.projector(pooled))
    assert torch.equal(outputs.logits, network(IMAGES))
    assert outputs.projections.shape == (4, 8)


def test_a_head_that_is_not_there_gives_nothing(make_model):
    assert make_model(projection=None)(IMAGES).projections is None
    assert make_model(classified=False)(IMAGES).logits is None


def test_cosine_logits_have_unit_length_and_the_same_direction(make_model):
    plain, unit = (make_model(cosine=cosine)(IMAGES).logits for cosine in (False, True))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(unit * plain.norm(dim=1, keepdim=True), plain)


@pytest.mark.parametrize("classified", [True, False])
@pytest.mark.parametrize("projection", [8, None])
def test_what_is_used_is_the_backbone_and_the_heads_there_are(
    make_model, network, classified, projection
):
    model = make_model(classified=classified, projection=projection)
    used = {id(p) for module in model.used for p in module.parameters()}
    backbone = {id(p) for name, p in network.named_parameters() if not name.startswith("fc.")}
    head = {id(p) for p in network.fc.parameters()} if classified else set()
    projector = {id(p) for p in model.projector.parameters()} if projection else set()
    assert used == backbone | head | projector


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("mode", ["eval", "frozen_statistics", "train"])
def test_an_attack_sees_logits_of_the_length_it_was_told(make_model, mode, cosine):
    model = make_model(cosine=not cosine)
    with Attacked(model, mode, cosine=cosine).network() as attacked:
        lengths = attacked(IMAGES).logits.norm(dim=1)
    assert torch.allclose(lengths, torch.ones(4)) is cosine
    assert model.cosine is not cosine


def test_in_eval_mode_an_attack_sees_a_folded_twin_of_today(make_model, network):
    model = make_model()
    attacked = Attacked(model, "eval", cosine=False)
    for _ in range(2):
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.mul_(1.1).add_(0.01)
        with attacked.network() as twin, torch.no_grad():
            found, expected = twin(IMAGES), model(IMAGES)
        assert twin is not model
        assert not any(parameter.requires_grad for parameter in twin.parameters())
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found.projections, expected.projections, rtol=1e-3, atol=1e-4)


def test_a_folded_learner_keeps_its_heads(make_model):
    model = make_model()
    twin = fold(model)
    assert twin.projector[0].weight.shape == model.projector[0].weight.shape
    assert twin.projector[0].weight is not model.projector[0].weight
    assert all(parameter.requires_grad for parameter in model.parameters())
