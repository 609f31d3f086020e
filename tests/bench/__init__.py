"""Measurements of what a student waits for; `./lab bench` runs them."""
