"""Says what is wrong with an installation, and the exact line that mends it."""

from typing import NamedTuple

from clbench.diagnosis.checks import CHECKS, STEPS, Outcome, examine
from clbench.diagnosis.import_checks import try_all


class Row(NamedTuple):
    """One check and what it found."""

    check: str
    looks_at: str
    outcome: Outcome
    found: str
    mend: str


def diagnose() -> list[Row]:
    """Return one row for each known defect of an installation, found or not.

    Packages are imported in processes of their own, so that a broken one cannot do harm here.
    """
    results = try_all(STEPS)
    return [Row(check.name, check.looks_at, *examine(check, results)) for check in CHECKS]
