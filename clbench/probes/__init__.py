"""Probes: what a network's representations say about its robustness."""

from clbench.probes.base import PROBES as PROBES
from clbench.probes.base import Probe as Probe
from clbench.probes.base import ProbeRow as ProbeRow
from clbench.probes.cka import linear_cka as linear_cka
from clbench.probes.engine import compare as compare
from clbench.probes.extents import EXTENTS as EXTENTS
from clbench.probes.linear import FittedProbe as FittedProbe
from clbench.probes.linear import fit_probes as fit_probes
from clbench.probes.probe_scores import TapScores as TapScores
from clbench.probes.probe_scores import score_probes as score_probes
from clbench.probes.probe_scores import stage_columns as stage_columns
from clbench.probes.probed import Labelled as Labelled
from clbench.probes.probed import Probed as Probed
from clbench.probes.similarity import Axis as Axis
from clbench.probes.similarity import Block as Block
from clbench.probes.similarity import Similarities as Similarities
from clbench.probes.taps import find_taps as find_taps
from clbench.probes.taps import select_taps as select_taps
from clbench.probes.views import Inputs as Inputs
from clbench.probes.views import View as View
