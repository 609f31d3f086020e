"""Acts as values: what would be done, step by step, or why it is refused.

A plan is a pure function of the lab's state, a survey (what had to be measured), and the request.
Knows: the model. Must not know: how a step is carried out; any input or output.
"""
