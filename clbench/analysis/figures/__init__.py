"""Figures: pure functions from matrices and estimates to pages."""

from clbench.analysis.figures.curves import depth_curves as depth_curves
from clbench.analysis.figures.heatmaps import heatmap as heatmap
from clbench.analysis.figures.heatmaps import panels as panels
from clbench.analysis.figures.scatter import scatter as scatter
from clbench.analysis.figures.style import FORMATS as FORMATS
from clbench.analysis.figures.style import draw as draw
