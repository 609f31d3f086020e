"""The panel of this computer."""
