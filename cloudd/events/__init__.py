"""
What happens in the cloud, as it happens: objects, containers, identity records, upgrades.

::

    events = Events(resources, identity, store)
    events.start({})

    class Stream(Subscriber):
        ...                                    # send, end, unsent, held, process_ends

    grant = events.grant(token, access)        # of a token that was just verified
    stream = Stream(grant, grant.view(everything=False), check_types("object,container"), Position.parse("c12.o3456"))
    events.join(stream)                        # sent: what came after that position, then what comes
    events.position_of(stream)                 # to go on in another process
    events.leave(stream)

Two logs are followed, each written in the very transactions of the changes: the outbox in the control database and the
object store's own log of changes.
"""

from ._event import RESET, TYPES, Event, UnknownType, View, check_types
from ._grants import Grant
from ._position import BadPosition, Position
from ._service import Events
from ._subscriber import Subscriber

__all__ = [
    "RESET",
    "TYPES",
    "BadPosition",
    "Event",
    "Events",
    "Grant",
    "Position",
    "Subscriber",
    "UnknownType",
    "View",
    "check_types",
]
