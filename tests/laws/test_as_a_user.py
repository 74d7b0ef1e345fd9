"""The laws as a package of somebody's own calls them, one call for each thing."""

import pytest
from definitions import DEFINITIONS
from senseless import attacks, measures, models, readers

from clbench.attacks.native.pgd import PGD
from clbench.data.readers.npz import read_arrays
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.testing import check_attack, check_loss, check_measure, check_model, check_reader
from clbench.training.losses import LOSSES


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_good_attack_passes(norm):
    changed = {"steps": PGD(steps=6), "start": PGD(steps=5, start="zero")}
    settings = {"least_share": 0.8, "changed": changed, "shape": (1, 6, 6), "n_classes": 3}
    check_attack(PGD(steps=5), norm, **settings)


def test_a_senseless_attack_is_told_which_law_it_breaks_and_what_was_seen():
    message = "^mine breaks the law 'finds_its_share': 0 of the [0-9]+ images that can be broken"
    with pytest.raises(AssertionError, match=message):
        check_attack(attacks.no_op, "Linf", least_share=0.5, name="mine")


def test_a_law_can_be_asked_for_alone_and_an_excuse_is_heeded():
    check_attack(attacks.no_op, "Linf", least_share=0.5, only=["stays_in_the_ball"])
    excused = {"heeds_the_seed": "it draws nothing"}
    check_attack(PGD(steps=5, start="zero"), "Linf", least_share=0.8, excused=excused)


def test_an_unknown_law_is_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"law 'is_sond'; did you mean 'is_sound'\?"):
        check_attack(PGD(steps=5), "Linf", least_share=0.8, only=["is_sond"])
    with pytest.raises(UnknownNameError, match="unknown law 'heed'"):
        check_attack(PGD(steps=5), "Linf", least_share=0.8, excused={"heed": "no"})


@pytest.mark.parametrize("share", [0, 1.1])
def test_an_attack_must_claim_to_break_something(share):
    message = "least_share of the attack must be above 0 and at most 1, got"
    with pytest.raises(BadValueError, match=message):
        check_attack(PGD(steps=5), "Linf", least_share=float(share))


def test_a_measure_is_checked_without_estimates_too():
    check_measure(measures.CKA, debiased=True)
    with pytest.raises(AssertionError, match=r"^cka breaks the law 'unrelated_is_zero': .* 0\.97"):
        check_measure(measures.measured("cka", reduce=measures.biased_gram).measure, debiased=True)


def test_a_loss_is_checked_without_a_definition_too():
    check_loss(LOSSES["supcon"])
    check_loss(LOSSES["trades"], definition=DEFINITIONS["trades"])
    with pytest.raises(AssertionError, match=r"^the loss breaks the law 'equals_the_definition'"):
        check_loss(LOSSES["supcon"], definition=DEFINITIONS["nt_xent"])


def test_a_network_or_what_makes_one_is_checked():
    check_model(models.Plain(), shape=models.SHAPE, n_classes=10)
    with pytest.raises(AssertionError, match=r"'returns_its_classes': logits \[1, 10\] came back"):
        check_model(models.Plain(), shape=models.SHAPE, n_classes=9)
    create = models.timm_model(lambda network: None)
    check_model(create, shape=models.SHAPE, n_classes=10, timm=True)


def test_a_reader_is_checked_with_what_writes_for_it():
    check_reader(read_arrays, readers.write_npz)
    with pytest.raises(AssertionError, match=r"'keeps_the_channels': channels of 0\.1"):
        check_reader(readers.blue_green_red, readers.write_npz)
    with pytest.raises(AssertionError, match=r"1 images of the test split are in .* 'train'"):
        check_reader(splits=readers.a_test_image_in_training)
