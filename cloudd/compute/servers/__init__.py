"""
Servers, from their wish to their end, and the groups that they are in.

Its public face is that of ``cloudd.compute``.
"""
