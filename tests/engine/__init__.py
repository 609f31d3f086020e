"""Tests of the engine: locks, journal, executor, recovery."""
