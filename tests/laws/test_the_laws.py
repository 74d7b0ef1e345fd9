"""The tests of the tests: a law that nothing breaks is no law."""

import re
import subprocess
import sys

import pytest
from controls import CONTROLS

from clbench.testing import LAWS
from clbench.testing.law import check, laws_for

NAMED = [f"{control.kind}-{control.case.name}" for control in CONTROLS]


@pytest.mark.parametrize("control", CONTROLS, ids=NAMED)
def test_every_control_breaks_the_laws_it_names_and_no_other(control):
    laws = LAWS[control.kind]
    for law in laws_for(laws, control.case):
        if law in control.breaks:
            message = re.escape(f"{control.case.name} breaks the law '{law}': ")
            with pytest.raises(AssertionError, match=f"^{message}."):
                check(laws, control.case, [law])
        else:
            check(laws, control.case, [law])
    assert control.breaks <= set(laws_for(laws, control.case))


@pytest.mark.parametrize("kind", LAWS)
def test_every_law_is_named_by_a_control(kind):
    named = {law for control in CONTROLS if control.kind == kind for law in control.breaks}
    assert named == set(LAWS[kind])


def test_every_law_says_in_a_sentence_what_it_wants():
    for laws in LAWS.values():
        for name, law in laws.items():
            assert law.__name__ == name
            assert law.__doc__.splitlines()[0].endswith(".")


def test_the_laws_need_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import clbench.testing"
    subprocess.run([sys.executable, "-c", code], check=True)
