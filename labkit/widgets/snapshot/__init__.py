"""The panel of a machine's snapshots."""
