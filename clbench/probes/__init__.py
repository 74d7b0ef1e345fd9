"""Probes: what a network's representations say about its robustness."""

from clbench.probes.base import PROBES as PROBES
from clbench.probes.base import Probe as Probe
from clbench.probes.base import ProbeRow as ProbeRow
from clbench.probes.cka import linear_cka as linear_cka
from clbench.probes.engine import compare as compare
from clbench.probes.similarity import Axis as Axis
from clbench.probes.similarity import Block as Block
from clbench.probes.similarity import Similarities as Similarities
from clbench.probes.taps import find_taps as find_taps
from clbench.probes.taps import select_taps as select_taps
from clbench.probes.views import Inputs as Inputs
from clbench.probes.views import View as View
