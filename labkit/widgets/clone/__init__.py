"""The panel of a machine's clones."""
