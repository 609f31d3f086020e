"""The panel of the disks."""
