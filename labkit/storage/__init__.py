"""Disk images on the host: their headers, sizes, copies. The only room that runs qemu-img.

Knows: files and image formats. Must not know: libvirt, plans.
"""
