"""Tests of the guest images, on bare QEMU."""
