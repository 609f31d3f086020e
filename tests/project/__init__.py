"""Tests of the project's own files: the command, the packages, the checks, the machine to host it."""
