"""Tests of clones, of the lineage and of the guard that keeps their base."""
