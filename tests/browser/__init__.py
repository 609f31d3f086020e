"""A real browser on a real JupyterLab."""
