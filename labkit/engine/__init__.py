"""Carrying plans out, and recovering from whatever interrupts them.

Knows: plans, the three rooms below, the lab's folder. Must not know: widgets, Jupyter.
"""
