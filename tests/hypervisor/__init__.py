"""Tests of the hypervisor's room: XML, events, a daemon that dies."""
