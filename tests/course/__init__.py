"""Tests of predictions, exercises and progress."""
