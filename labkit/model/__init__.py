"""The values that labkit works with: frozen, compared by content, without any input or output.

Knows: the words of the course. Must not know: libvirt, qemu-img, files, widgets.
"""
