"""The tests of the lab: from pure values to real guests, notebooks and a browser."""
