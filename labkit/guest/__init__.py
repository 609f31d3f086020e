"""Talking to what runs inside: the guest's agent and its serial console.

Knows: the protocols. Must not know: how the channel was made; libvirt.
"""
