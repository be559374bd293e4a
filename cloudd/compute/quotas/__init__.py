"""
What projects may have, what they have, and what they have had.

Its public face is that of ``cloudd.compute``.
"""
