"""What is wrong inside of evidence, and between it and its record."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int

from clbench.attacks.pgd_row import NAME as PGD
from clbench.evaluation.certificates import STEPS, Certificates, linf_step, sampled, too_long
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING
from clbench.schema.attack_spec import Parameter
from clbench.schema.names import NormName
from clbench.schema.numbers import LARGEST_COUNT
from clbench.schema.protocol import protocols
from clbench.schema.threat_model import PIXEL_TOLERANCE, parse_eps, parse_norm
from clbench.verification.findings import FILES, Problem, Stored

_NEAR = 1e-4
"""Logits nearer to the highest than this share of their spread are the highest but for rounding."""

_REACHED = 0.9
"""Of eps, which some images of attacks reach that go farther than it, before they are put back."""

TO_THE_SURFACE = {"apgd-ce", "apgd-dlr", "apgd-t", "apgd-margin", "square"}

FEWEST = 10
"""Of fewer images, none need be near the surface of the ball."""

_NO_NUMBER = -1
"""The class of logits that are NaN."""


def of_evidence(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    """Yield what is wrong with verdicts: whose they are, of which examples, how they agree."""
    record, problem = stored.record, partial(Problem, FILES, stored.evidence_path)
    if record.is_bound and evidence.identity != record.run.hash:
        yield problem(
            "identity", repr(evidence.identity), f"{record.run.hash}, the run of its record"
        )
    if len(evidence) != record.data.n:
        yield problem("index", f"of {len(evidence)} examples", f"{record.data.n} by its record")
    if (evidence.index < 0).any():
        yield problem("index", str(int(evidence.index.min())), "a place, from 0 up")
    if len(np.unique(evidence.index)) != len(evidence):
        yield problem("index", "with an example twice", "each example once")
    named = {one.dataset for one in protocols().values()}
    if record.data.name in named and (evidence.index != np.arange(len(evidence))).any():
        yield problem(
            "index", "of examples that were chosen", f"the first ones of {record.data.name}"
        )
    yield from _of_broken_by(stored, evidence)
    yield from _of_classes(stored, evidence)


def _of_broken_by(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    problem = partial(Problem, FILES, stored.evidence_path)
    right = evidence.clean_pred == evidence.label
    fooled = evidence.adv_pred != evidence.label
    by_clean, by_nothing = evidence.broken_by == BY_CLEAN, evidence.broken_by == BY_NOTHING
    for wrong, so, otherwise in (
        (by_clean & right, "another one", "clean_pred is the label"),
        (~by_clean & ~right, "'clean'", "clean_pred is not the label"),
        (by_nothing & fooled, "what broke it", "adv_pred is not the label"),
        (~by_nothing & ~fooled, "''", "adv_pred is the label"),
    ):
        if wrong.any():
            example, said = int(evidence.index[wrong][0]), str(evidence.broken_by[wrong][0])
            yield problem(f"broken_by of example {example}", repr(said), f"{so}, as {otherwise}")
    changed = by_clean & ~right & (evidence.adv_pred != evidence.clean_pred)
    if changed.any():
        index, had, was = (
            int(one[changed][0]) for one in (evidence.index, evidence.adv_pred, evidence.clean_pred)
        )
        yield problem(f"adv_pred of example {index}", str(had), f"{was}, as nothing attacked it")
    names = set(evidence.broken_by.tolist()) - {BY_CLEAN, BY_NOTHING, *stored.record.components}
    if names:
        expected = "a component of the attack"
        yield problem("broken_by", repr(min(names)), expected)


def _of_classes(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    """Yield classes that there are not, and predictions that the logits beside them contradict."""
    problem, logits = partial(Problem, FILES, stored.evidence_path), evidence.logits
    n_classes = LARGEST_COUNT if logits is None else logits.shape[1]
    least = {"label": 0, "clean_pred": _NO_NUMBER, "adv_pred": _NO_NUMBER}
    for name, lowest in least.items():
        values = getattr(evidence, name)
        outside = values[(values < lowest) | (values >= n_classes)]
        if len(outside):
            expected = f"a class from {lowest} to {n_classes - 1}"
            yield problem(name, str(int(outside[0])), expected)
            return
    if logits is None:
        return
    if len(logits) > len(evidence):
        yield problem("logits", f"of {len(logits)} examples", f"of {len(evidence)} at most")
    few = min(len(logits), len(evidence))
    some, said = logits[:few].astype(np.float64), evidence.clean_pred[:few]
    wrong = np.where(np.isnan(some).any(axis=1), said != _NO_NUMBER, ~_nearly_highest(some, said))
    if wrong.any():
        first = int(wrong.argmax())
        is_nan = np.isnan(some[first]).any()
        highest = _NO_NUMBER if is_nan else int(some[first].argmax())
        field = f"clean_pred of example {int(evidence.index[first])}"
        yield problem(field, str(int(said[first])), f"{highest} by its logits")


def _nearly_highest(
    logits: Float64[np.ndarray, "n k"], classes: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Say where the logit of a class is the highest but for rounding; none of NaN is."""
    highest, its = logits.max(axis=1), logits[np.arange(len(logits)), classes]
    with np.errstate(invalid="ignore"):  # infinite ones have no spread
        spread = logits.std(axis=1) * np.sqrt(logits.shape[1])
        found: Bool[np.ndarray, " n"] = (its == highest) | (highest - its <= _NEAR * spread)
    found &= classes != _NO_NUMBER
    return found


def of_images(stored: Stored, evidence: Evidence) -> Iterator[Problem]:
    """Yield what is wrong with the images that prove what is broken, as far as files tell."""
    if evidence.adversarial is not None:
        yield from _of_pixels(stored, evidence.adversarial)
    found, threat = evidence.certificates, stored.record.threat_model
    problem = partial(Problem, FILES, stored.evidence_path)
    if found is None:
        return
    if threat is None:
        yield problem("certificates", f"there, {len(found)}", "none, as nothing was attacked")
        return
    norm, eps = parse_norm(threat.norm), float(parse_eps(threat.eps))
    for place, length in too_long(found, norm, eps)[:1]:
        example, expected = int(evidence.index[place]), f"at most {threat.eps} in {norm}"
        yield problem(f"certificate of example {example}", f"{length:.6g} away", expected)
    yield from _of_places(stored, evidence, found)
    yield from _of_steps(stored, found, norm, eps)
    far = np.isin(evidence.broken_by, _far_reaching(stored, eps))
    reach = found.lengths(norm)[1].max(initial=0.0)
    if far.sum() >= FEWEST and len(found) >= FEWEST and reach < _REACHED * eps:
        expected = f"some at {eps:.6g}, the eps that {evidence.broken_by[far][0]} attacked with"
        yield problem("certificates", f"at most {reach:.6g} from the clean images", expected)


def _of_steps(stored: Stored, found: Certificates, norm: NormName, eps: float) -> Iterator[Problem]:
    """Yield that images are packed otherwise than every run packs them: in steps of eps in Linf."""
    problem = partial(Problem, FILES, stored.evidence_path)
    if not (found.scale > 0).all():
        yield problem("certificate_scale", f"{found.scale.min():.6g}", "above 0")
    other = found.scale != linf_step(eps)
    if norm == "Linf" and other.any():
        expected = f"{linf_step(eps):.9g}, a {STEPS}th of eps"
        yield problem("certificate_scale", f"{found.scale[other][0]:.9g}", expected)


def _far_reaching(stored: Stored, eps: float) -> list[str]:
    """Return components that go to the surface of the ball, whatever they find on their way."""
    attack = stored.record.attack
    if attack is None:
        return []
    return [name for name, given in attack.parameters.items() if _reaches(name, given, eps)]


def _reaches(name: str, given: Mapping[str, Parameter], eps: float) -> bool:
    """Say whether a component's steps go farther than eps, all together.

    APGD's first one alone is twice as long, and Square begins on the surface.
    """
    if name != PGD:
        return name in TO_THE_SURFACE
    per_eps, step = given.get("step_size_per_eps"), given.get("step_size")
    size = per_eps * eps if isinstance(per_eps, float) else step
    steps = given.get("steps")
    return isinstance(size, float) and isinstance(steps, int) and steps * size >= 2 * eps


def _of_pixels(stored: Stored, images: Any) -> Iterator[Problem]:  # noqa: ANN401 - float images
    low, high = float(images.min(initial=0.0)), float(images.max(initial=1.0))
    if not (low >= -PIXEL_TOLERANCE and high <= 1 + PIXEL_TOLERANCE):
        found = f"with pixels from {low:.6g} to {high:.6g}"
        yield Problem(FILES, stored.evidence_path, "adversarial", found, "pixels from 0 to 1")


def _of_places(stored: Stored, evidence: Evidence, found: Certificates) -> Iterator[Problem]:
    """Yield certificates that are missing, too many, or others than their digests say."""
    problem = partial(Problem, FILES, stored.evidence_path)
    broken = np.flatnonzero((evidence.broken_by != BY_NOTHING) & (evidence.broken_by != BY_CLEAN))
    wanted = broken
    if found.kind == "sample":
        wanted = sampled(stored.record.run.hash, evidence.index, broken)
    missing, extra = (np.setdiff1d(one, other) for one, other in _both(wanted, found.places))
    if len(missing):
        example = int(evidence.index[missing[0]])
        said = f"without example {example}" + f" and {len(missing) - 1} more" * (len(missing) > 1)
        yield problem("certificates", said, f"an image for each of the {len(wanted)} broken ones")
    if len(extra):
        example, by = int(evidence.index[extra[0]]), str(evidence.broken_by[extra[0]])
        said = f"there for example {example}, which was broken by {by!r}"
        yield problem("certificates", said, "images of what attacks broke, as they were drawn")
    if found.digests is not None:
        yield from _of_digests(stored, evidence, found, broken)


def _both(one: Any, other: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:  # noqa: ANN401 - arrays
    return (one, other), (other, one)


def _of_digests(
    stored: Stored,
    evidence: Evidence,
    found: Certificates,
    broken: Any,  # noqa: ANN401 - places
) -> Iterator[Problem]:
    problem = partial(Problem, FILES, stored.evidence_path)
    assert found.digests is not None, "it is a sample"
    there = np.flatnonzero(found.digests.any(axis=1))
    if not np.array_equal(there, broken):
        said = f"of {len(there)} examples"
        yield problem("certificate_digests", said, f"of the {len(broken)} broken ones")
    for place, digest in found.packed_digests().items():
        if found.digests[place].tobytes() != digest:
            example = int(evidence.index[place])
            expected = "the one that its digest was made of"
            yield problem(f"certificate of example {example}", "another image", expected)
            return
