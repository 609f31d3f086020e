"""Carrying plans out, and coming back from whatever interrupted them.

Knows: plans, the three rooms below, the lab's folder. Must not know: widgets, Jupyter.
"""
