"""
Sizes of servers, and those that a new cloud begins with.

Its public face is that of ``cloudd.compute``.
"""
