"""The hypervisor: the only room that imports libvirt.

Knows: connections, domains, their XML, events. Must not know: qemu-img, plans, widgets.
"""
