"""Tests of snapshots: the plans, the files, real guests, interrupted acts."""
