"""The panel of one machine."""
