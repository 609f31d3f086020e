"""Tests of the lab's folder as the lab: its record, its place, what is carried along."""
