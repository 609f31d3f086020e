"""Machines that travel: to a neighbour, into a file, out of one."""
