"""Tests of drawings: the same picture every time, twins without measured numbers."""
