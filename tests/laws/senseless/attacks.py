"""Senseless attacks. Each is written for one case and breaks the laws that its row names."""

from dataclasses import replace
from fractions import Fraction

import torch
from torch import nn

from clbench.attacks.native.pgd import PGD
from clbench.testing.attack_case import AttackCase
from clbench.testing.problems import curved_problem, linear_problem

STEPS = 5
PLAIN = PGD(steps=STEPS)


def case_of(name, attack, **declared):
    """What a control declares when nothing else is said: an attack like PGD."""
    settings = {"least_share": 0.9, "changed": {"steps": PGD(steps=STEPS + 1)}} | declared
    return AttackCase(
        name=name,
        attack=attack,
        linear=linear_problem("Linf"),
        curved=curved_problem("Linf"),
        **settings,
    )


def sized(threat_model, factor):
    return replace(threat_model, eps=threat_model.eps * Fraction(factor))


def no_op(model, images, labels, threat_model, *, seed, index):
    return images.clone()


def faint_noise(model, images, labels, threat_model, *, seed, index):
    generator = torch.Generator().manual_seed(seed + int(index.sum()) + int(labels[0]))
    return (images + 1e-5 * torch.rand(images.shape, generator=generator)).clamp(0, 1)


def not_a_number(model, images, labels, threat_model, *, seed, index):
    found = PLAIN(model, images, labels, threat_model, seed=seed, index=index)
    return found.masked_fill(found == found.amax(dim=(1, 2, 3), keepdim=True), torch.nan)


def another_examples_image(model, images, labels, threat_model, *, seed, index):
    return PLAIN(model, images, labels, threat_model, seed=seed, index=index).roll(1, dims=0)


def twice_eps(model, images, labels, threat_model, *, seed, index):
    return PLAIN(model, images, labels, sized(threat_model, 2), seed=seed, index=index)


def outside_of_the_ball(model, images, labels, threat_model, *, seed, index):
    return PLAIN(model, images, labels, sized(threat_model, 5), seed=seed, index=index)


def a_tenth_of_eps(model, images, labels, threat_model, *, seed, index):
    return PLAIN(model, images, labels, sized(threat_model, "1/10"), seed=seed, index=index)


def outside_of_the_pixel_range(model, images, labels, threat_model, *, seed, index):
    found = PLAIN(model, images, labels, threat_model, seed=seed, index=index)
    return found.where(images.gt(0) & images.lt(1), images + 0.01 * (2 * images - 1))


class UpsideDown(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return -self.model(x)


def descends(model, images, labels, threat_model, *, seed, index):
    return PLAIN(UpsideDown(model), images, labels, threat_model, seed=seed, index=index)


def attacks_its_own_prediction(model, images, labels, threat_model, *, seed, index):
    with torch.no_grad():
        predicted = model(images).argmax(1)
    return PLAIN(model, images, predicted, threat_model, seed=seed, index=index)


def seeded_by_its_batch(model, images, labels, threat_model, *, seed, index):
    first = index[:1].expand_as(index) * 1000 + torch.arange(len(index))
    return PLAIN(model, images, labels, threat_model, seed=seed, index=first)


def seeded_by_its_place_in_the_shard(model, images, labels, threat_model, *, seed, index):
    places = torch.arange(len(index))
    return PLAIN(model, images, labels, threat_model, seed=seed, index=places)


def goes_as_far_as_its_batch_is_large(model, images, labels, threat_model, *, seed, index):
    found = PLAIN(model, images, labels, threat_model, seed=seed, index=index)
    return images + (1 - 1 / len(index)) * (found - images)


def ignores_the_seed(model, images, labels, threat_model, *, seed, index):
    return PLAIN(model, images, labels, threat_model, seed=0, index=index)


def draws_from_what_is_there(model, images, labels, threat_model, *, seed, index):
    state = torch.get_rng_state()
    drawn = int(torch.randint(1000, ()))
    torch.set_rng_state(state)
    return PLAIN(model, images, labels, threat_model, seed=seed + drawn, index=index)


def leaves_a_hook(model, images, labels, threat_model, *, seed, index):
    model.register_forward_hook(lambda *_: None)
    return PLAIN(model, images, labels, threat_model, seed=seed, index=index)


def leaves_a_drawn_number(model, images, labels, threat_model, *, seed, index):
    torch.rand(1)
    return PLAIN(model, images, labels, threat_model, seed=seed, index=index)


def leaves_training_mode(model, images, labels, threat_model, *, seed, index):
    found = PLAIN(model, images, labels, threat_model, seed=seed, index=index)
    model.train()
    return found


def writes_into_the_images(model, images, labels, threat_model, *, seed, index):
    return images.copy_(PLAIN(model, images, labels, threat_model, seed=seed, index=index))


ROWS = [
    (
        case_of("no-op", no_op),
        *("finds_its_share", "uses_the_whole_ball", "asks_the_model"),
        *("heeds_the_label", "heeds_the_seed"),
    ),
    (
        case_of("faint noise", faint_noise),
        *("finds_its_share", "uses_the_whole_ball", "asks_the_model"),
    ),
    (
        case_of("NaN", not_a_number),
        *("stays_in_the_ball", "finds_its_share", "uses_the_whole_ball"),
    ),
    (
        case_of("another example's image", another_examples_image),
        *("stays_in_the_ball", "is_sound", "finds_its_share", "belongs_to_examples"),
    ),
    (case_of("twice eps", twice_eps), "stays_in_the_ball", "is_sound"),
    (
        case_of("outside of the ball, as it may be", outside_of_the_ball, bounded=False),
        "finds_its_share",
    ),
    (case_of("outside of the pixel range", outside_of_the_pixel_range), "stays_in_the_ball"),
    (case_of("a tenth of eps", a_tenth_of_eps), "finds_its_share", "uses_the_whole_ball"),
    (case_of("descending", descends), "finds_its_share"),
    (case_of("attacking its own prediction", attacks_its_own_prediction), "heeds_the_label"),
    (case_of("seeded by its batch", seeded_by_its_batch), "belongs_to_examples"),
    (
        case_of("seeded by its place in the shard", seeded_by_its_place_in_the_shard),
        "belongs_to_examples",
    ),
    (
        case_of("going as far as its batch is large", goes_as_far_as_its_batch_is_large),
        "belongs_to_examples",
    ),
    (case_of("ignoring the seed", ignores_the_seed), "heeds_the_seed"),
    (case_of("drawing from what is there", draws_from_what_is_there), "repeats_itself"),
    (case_of("gradients while black-box", PLAIN, black_box=True), "asks_the_model"),
    (case_of("an ignored option", PLAIN, changed={"steps": PLAIN}), "every_option_acts"),
    (case_of("leaving a hook", leaves_a_hook), "leaves_all_as_found"),
    (case_of("leaving a drawn number", leaves_a_drawn_number), "leaves_all_as_found"),
    (case_of("leaving training mode", leaves_training_mode), "leaves_all_as_found"),
    (case_of("writing into the images", writes_into_the_images), "leaves_all_as_found"),
]
"""Cases, each with the laws that it breaks."""
