import pytest

from clbench.analysis.comparisons import (
    COMPARISONS,
    ComparedModel,
    RepresentationOf,
    plan_comparisons,
)
from clbench.schema.errors import BadValueError, UnknownNameError

MODELS = [
    ComparedModel("simclr_st", "simclr", "st"),
    ComparedModel("simclr_at", "simclr", "at"),
    ComparedModel("supcon_st", "supcon", "st"),
    ComparedModel("net.py:make"),
]


def pairs(comparison, **options):
    return list(plan_comparisons(MODELS[:3], [comparison], **options).pairs)


EXPECTED = {
    "clean-clean": [("simclr_st clean", "simclr_st clean")],
    "adversarial-adversarial": [("simclr_st adversarial", "simclr_st adversarial")],
    "adversarial-clean": [("simclr_st adversarial", "simclr_st clean")],
    "cross-clean": [("simclr_st clean", "simclr_at clean")],
    "cross-adversarial": [("simclr_st adversarial", "simclr_at adversarial")],
    "cross-common": [("simclr_st adversarial", "simclr_at adversarial to simclr_st")],
    "cross-scheme": [("simclr_st adversarial", "supcon_st adversarial")],
    "cross-scenario": [("simclr_st adversarial", "simclr_at adversarial")],
    "noise-clean": [("simclr_st noise", "simclr_st clean")],
    "untrained": [("simclr_st untrained adversarial", "simclr_st untrained clean")],
    "pixels": [("simclr_st pixels adversarial to simclr_st", "simclr_st pixels clean")],
}


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_comparison_asks_for_these_rows_and_columns_first(comparison):
    assert pairs(comparison)[:1] == EXPECTED[comparison]
    counts = {"cross-scheme": 1, "cross-scenario": 1}
    assert len(pairs(comparison)) == counts.get(comparison, 3)


def test_the_common_images_can_be_made_against_any_of_the_models():
    found = plan_comparisons(MODELS, ["cross-common"], common="simclr_at")
    assert found.attacked == ("simclr_at",)
    assert found.representations[:2] == (
        RepresentationOf("simclr_st", "simclr_at"),
        RepresentationOf("simclr_at", "simclr_at"),
    )


def test_models_of_unknown_scheme_are_in_all_comparisons_but_those_across_schemes():
    for comparison in COMPARISONS:
        models = {
            representation.model.removesuffix(" untrained").removesuffix(" pixels")
            for representation in plan_comparisons(MODELS, [comparison]).representations
        }
        assert ("net.py:make" in models) == (comparison not in {"cross-scheme", "cross-scenario"})


def test_all_comparisons_share_their_representations():
    found = plan_comparisons(MODELS)
    assert {wanted.comparison for wanted in found.matrices} == set(COMPARISONS)
    # clean, own and common images and noise; untrained and pixels, each on two sets of images; the
    # first model's own images are the common ones
    assert len(found.representations) == len(set(found.representations)) == 8 * len(MODELS) - 1
    assert len(found.pairs) == len(set(found.pairs)) < len(found.matrices)
    models = [one.model for one in MODELS]
    assert set(found.attacked) == {*models, *(f"{model} untrained" for model in models)}
    assert found.attacked[: len(MODELS)] == tuple(models)
    named = {representation.name for representation in found.representations}
    assert {name for pair in found.pairs for name in pair} == named


def test_one_model_has_the_comparisons_of_one_network_only():
    found = plan_comparisons(MODELS[:1])
    of_one = {*list(COMPARISONS)[:3], *(name for name, row in COMPARISONS.items() if row.control)}
    assert {wanted.comparison for wanted in found.matrices} == of_one


def test_noise_is_no_attack_of_its_own_and_needs_that_of_its_model():
    found = plan_comparisons(MODELS[:2], ["noise-clean"])
    assert found.attacked == ("simclr_st", "simclr_at")
    assert [one.against for one in found.representations if one.against] == [
        "simclr_st noise",
        "simclr_at noise",
    ]
    assert not found.uses("simclr_st untrained")
    assert plan_comparisons(MODELS[:2], ["untrained"]).uses("simclr_st untrained")


def test_unknown_comparisons_and_models_are_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown comparison 'cross-claen'; did you mean"):
        plan_comparisons(MODELS, ["cross-claen"])
    with pytest.raises(
        UnknownNameError, match="unknown model 'simclr_a'; did you mean 'simclr_at'"
    ):
        plan_comparisons(MODELS, common="simclr_a")


@pytest.mark.parametrize("models", [[], [MODELS[0], ComparedModel("simclr_st")]])
def test_models_need_different_names(models):
    with pytest.raises(
        BadValueError, match="models must have different names, and be one at least"
    ):
        plan_comparisons(models)
