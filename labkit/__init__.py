"""A laboratory for a course on virtualization: real virtual machines in JupyterLab."""

__version__ = "0.1.0"
