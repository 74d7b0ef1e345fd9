"""The paper's claims as rows of what was measured: which hold, and which do not."""

from collections.abc import Mapping
from typing import NamedTuple

from clbench.analysis.claims import CLAIMS, Case, Claim
from clbench.analysis.inputs import FindingInputs, has_interval
from clbench.schema.estimate import Estimate, undefined

HOLDS = "holds"
FAILS = "does not hold"
UNDECIDED = "undecided"
NOT_TESTABLE = "not testable"


class Finding(NamedTuple):
    """What was measured of a claim, with its 95 % interval, and what follows.

    ``n`` counts the examples, or the models of a correlation; ``figure`` is a path from the folder
    of the findings, "" where there is none.
    """

    claim: str
    scheme: str
    measured: str
    effect: float
    low: float
    high: float
    n: int
    p_value: float
    verdict: str
    figure: str
    note: str


def find(inputs: FindingInputs, figures: Mapping[str, str] | None = None) -> list[Finding]:
    """Return all that was measured of all claims; ``figures`` are paths by name of the figure."""
    return [
        Finding(
            claim.name,
            case.scheme,
            case.measured,
            case.effect.value,
            case.effect.low,
            case.effect.high,
            case.effect.n,
            case.p_value,
            verdict(case.effect, claim.sign),
            (figures or {}).get(claim.figure, ""),
            "; ".join(filter(None, (case.note, case.effect.reason))),
        )
        for claim in CLAIMS.values()
        for case in claim.cases(inputs) or [_nothing(claim)]
    ]


def _nothing(claim: Claim) -> Case:
    return Case("", "", undefined("", 0, f"needs {claim.needs}"))


def verdict(effect: Estimate, sign: int) -> str:
    """Return whether a claim holds that an effect has this sign.

    It holds where the 95 % interval lies on that side of 0, and does not hold where it lies on the
    other side. Where the interval holds 0, the effect is too small for these examples, and the
    claim is undecided. Without an effect and an interval it is not testable.

    >>> verdict(Estimate("cka", 0.3, 100, 0.1, 0.5), 1)
    'holds'
    """
    if not has_interval(effect):
        return NOT_TESTABLE
    low, high = sorted((sign * effect.low, sign * effect.high))
    if low > 0:
        return HOLDS
    return FAILS if high < 0 else UNDECIDED
