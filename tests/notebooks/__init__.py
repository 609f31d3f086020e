"""The notebooks: run for real, compared, and held to their shape."""
