"""Tests of real machines, from the façade to the inside of the guest."""
