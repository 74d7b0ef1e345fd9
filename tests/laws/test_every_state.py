"""The state of an evaluation keeps every law of states."""

import pytest

from clbench.evaluation.state import EvaluationState
from clbench.testing import check_state
from clbench.testing.states import STATE_LAWS


@pytest.mark.parametrize("law", STATE_LAWS)
def test_the_state_of_an_evaluation_keeps_the_law(law):
    check_state(EvaluationState, only=[law])
