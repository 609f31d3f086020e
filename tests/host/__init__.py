"""Tests of the host's facts and of the doctor."""
