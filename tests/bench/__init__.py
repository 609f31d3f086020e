"""Measurements of what a student waits for; `./lab bench [NAMES]` runs them (see `__main__`)."""
