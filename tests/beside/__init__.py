"""Tests of a lab that is not alone: other kernels, virsh, qemu-img, older states of its folder act beside labkit."""
