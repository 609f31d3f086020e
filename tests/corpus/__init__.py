"""What anyone may give to labkit, changed at random from a fixed seed: one error or none, soon, with little memory."""
