"""Tests of the storage room, with qemu-img as the oracle."""
