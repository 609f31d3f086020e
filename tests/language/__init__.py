"""Tests of the messages and their translations."""
