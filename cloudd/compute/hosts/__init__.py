"""
Hosts of servers: what they have, what is claimed of it, zones and aggregates.

Its public face is that of ``cloudd.compute``.
"""
