"""The version of clbench."""

__version__ = "0.1.0"
