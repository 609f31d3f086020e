"""The panel of the whole lab."""
