"""Tests of plans: pure functions of a state, a survey and a request."""
