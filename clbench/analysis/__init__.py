"""Comparisons of models: matrices, figures, and what they say about the paper's claims."""

from clbench.analysis.result import Accuracy as Accuracy
from clbench.analysis.result import Analysis as Analysis
from clbench.analysis.result import Description as Description
from clbench.analysis.result import Matrix as Matrix
from clbench.analysis.run import run as run
from clbench.analysis.store import load as load
from clbench.analysis.subjects import Request as Request
