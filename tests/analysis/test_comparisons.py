import pytest

from clbench.analysis.comparisons import KINDS, Sight, Subject, plan
from clbench.schema.errors import BadValueError, UnknownNameError

SUBJECTS = [
    Subject("simclr_st", "simclr", "st"),
    Subject("simclr_at", "simclr", "at"),
    Subject("supcon_st", "supcon", "st"),
    Subject("net.py:make"),
]


def pairs(kind, **options):
    return list(plan(SUBJECTS[:3], [kind], **options).pairs)


EXPECTED = {
    "clean-clean": [("simclr_st clean", "simclr_st clean")],
    "adversarial-adversarial": [("simclr_st adversarial", "simclr_st adversarial")],
    "adversarial-clean": [("simclr_st adversarial", "simclr_st clean")],
    "cross-clean": [("simclr_st clean", "simclr_at clean")],
    "cross-adversarial": [("simclr_st adversarial", "simclr_at adversarial")],
    "cross-common": [("simclr_st adversarial", "simclr_at adversarial to simclr_st")],
    "cross-scheme": [("simclr_st adversarial", "supcon_st adversarial")],
    "cross-scenario": [("simclr_st adversarial", "simclr_at adversarial")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_asks_for_these_rows_and_columns_first(kind):
    assert pairs(kind)[:1] == EXPECTED[kind]
    counts = {"cross-scheme": 1, "cross-scenario": 1}
    assert len(pairs(kind)) == counts.get(kind, 3)


def test_the_common_images_can_be_made_against_any_of_the_models():
    found = plan(SUBJECTS, ["cross-common"], common="simclr_at")
    assert found.attacked == ("simclr_at",)
    assert found.sights[:2] == (Sight("simclr_st", "simclr_at"), Sight("simclr_at", "simclr_at"))


def test_models_of_unknown_scheme_are_in_all_kinds_but_those_across_schemes():
    for kind in KINDS:
        models = {sight.model for sight in plan(SUBJECTS, [kind]).sights}
        assert ("net.py:make" in models) == (kind not in {"cross-scheme", "cross-scenario"})


def test_all_kinds_share_their_views():
    found = plan(SUBJECTS)
    assert {wanted.kind for wanted in found.matrices} == set(KINDS)
    # clean, own and common images; the first model's own images are the common ones
    assert len(found.sights) == len(set(found.sights)) == 3 * len(SUBJECTS) - 1
    assert len(found.pairs) == len(set(found.pairs)) < len(found.matrices)
    assert found.attacked == tuple(subject.model for subject in SUBJECTS)
    named = {sight.name for sight in found.sights}
    assert {name for pair in found.pairs for name in pair} == named


def test_one_model_has_the_kinds_of_one_network_only():
    found = plan(SUBJECTS[:1])
    assert {wanted.kind for wanted in found.matrices} == set(list(KINDS)[:3])


def test_unknown_kinds_and_models_are_met_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match="unknown kind of comparison 'cross-claen'; did you mean"
    ):
        plan(SUBJECTS, ["cross-claen"])
    with pytest.raises(
        UnknownNameError, match="unknown model 'simclr_a'; did you mean 'simclr_at'"
    ):
        plan(SUBJECTS, common="simclr_a")


@pytest.mark.parametrize("subjects", [[], [SUBJECTS[0], Subject("simclr_st")]])
def test_models_need_different_names(subjects):
    with pytest.raises(
        BadValueError, match="models must have different names, and be one at least"
    ):
        plan(subjects)
