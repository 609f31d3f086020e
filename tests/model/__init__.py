"""Tests of the pure values and the small modules below them."""
