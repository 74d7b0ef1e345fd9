"""Probes: what a network's representations say about its robustness."""

from clbench.probes.base import PROBES as PROBES
from clbench.probes.base import Probe as Probe
from clbench.probes.base import ProbeRow as ProbeRow
from clbench.probes.cka import linear_cka as linear_cka
