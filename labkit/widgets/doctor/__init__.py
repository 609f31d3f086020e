"""The panel of the doctor."""
