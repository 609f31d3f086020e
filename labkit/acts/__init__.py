"""Acts: what a person wrote becomes a request, the request a plan, and the plan is carried out; a module per theme.

Knows: plans, the measurements they need. Must not know: `Lab`, `Machine`, libvirt, files.
"""
