"""The panel of what stands on what."""
