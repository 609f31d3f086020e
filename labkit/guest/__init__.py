"""Talking to the system inside: through the guest's agent and its serial console.

Knows: the protocols. Must not know: how the channel was made; libvirt.
"""
