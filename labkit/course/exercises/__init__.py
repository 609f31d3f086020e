"""The exercises, a module per subject; `labkit/course/catalogue.py` names them all."""
