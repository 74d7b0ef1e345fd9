import pytest
import torch
from torch import nn

from clbench.training.optimizer import lr_factor, make_optimizer
from clbench.training.recipe import Optimizer


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_take_over_the_recipe(name, kind):
    made = make_optimizer(nn.Linear(2, 2), Optimizer(name, lr=0.2, weight_decay=0.01))
    assert type(made).__name__ == kind
    assert made.param_groups[0]["lr"] == 0.2
    assert made.param_groups[0]["weight_decay"] == 0.01
    assert made.param_groups[0]["fused"]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_has_nesterovs_momentum_where_it_has_one(momentum):
    made = make_optimizer(nn.Linear(2, 2), Optimizer("sgd", lr=0.2, momentum=momentum))
    assert made.param_groups[0]["momentum"] == momentum
    assert made.param_groups[0]["nesterov"] is (momentum > 0)


def test_a_parameter_of_two_modules_moves_once():
    head = nn.Linear(2, 2)
    twice = nn.ModuleList([nn.Sequential(head), head])
    made = make_optimizer(twice, Optimizer("sgd", lr=1.0, momentum=0.0))
    (group,) = made.param_groups
    assert len(group["params"]) == 2
    before = head.weight.detach().clone()
    head(torch.ones(1, 2)).sum().backward()
    made.step()
    torch.testing.assert_close(head.weight.detach(), before - 1)


def test_the_learning_rate_rises_then_falls_to_nothing():
    factors = [lr_factor("cosine", step, warmup=5, total=50) for step in range(50)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.01
    assert lr_factor("cosine", 0, warmup=0, total=1) == 1


def test_a_constant_learning_rate_rises_and_stays():
    factors = [lr_factor("constant", step, warmup=2, total=9) for step in range(9)]
    assert factors == pytest.approx([0.5] + 8 * [1.0])
    assert lr_factor("constant", 0, warmup=0, total=9) == 1


def test_a_warmup_as_long_as_the_training_never_falls():
    assert lr_factor("cosine", 3, warmup=4, total=4) == 1
    assert lr_factor("cosine", 4, warmup=4, total=4) == 1  # after the last step
