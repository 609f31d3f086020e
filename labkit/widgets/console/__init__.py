"""The console of a machine, as a panel."""
