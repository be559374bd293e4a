"""
The listener on which machines join and nodes renew their certificates: HTTPS, one exchange a connection.

Everything that is said to it is bounded, in bytes and in time, before anybody is known.  ``cloudd.joining`` has the
messages, ``cloudd.nodes`` decides.
"""

from ._listener import NodeListener

__all__ = ["NodeListener"]
