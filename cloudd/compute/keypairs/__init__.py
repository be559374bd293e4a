"""
Key pairs, given or made here.

Its public face is that of ``cloudd.compute``.
"""
