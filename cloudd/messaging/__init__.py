"""
Messages between the processes of a cloud: calls, casts, fan-out and events, over one of two transports.

Both sides share a form, which names the method and the versions of its payload::

    class NoSpace(Fault):
        name = "no-space"

    PLACE = Form(name="volume.place", faults=(NoSpace,))

Who serves::

    async def place(call: Call) -> Fields:                  # cancelled when the deadline has passed
        if not room_for(call.fields["size_gib"]):
            raise NoSpace("no pool has 40 GiB left", {"largest_gib": 12})
        return {"pool": "ssd-1"}

    bus = Bus(reactor, transport, metrics)                  # one a process; Hub(reactor).transport("host-1"), or AMQP
    bus.start()
    server = bus.serve("volume", [Method(PLACE, place)])
    await server.ready
    ...
    await bus.retire(server)                                # in a move: when another one is ready

Who asks::

    try:
        answer = await bus.call("volume", PLACE, {"size_gib": 40}, 5.0)             # any host that serves it
        answer = await bus.call("volume", PLACE, {"size_gib": 40}, 5.0, node="host-1")
        await bus.cast("volume", FORGET, {"id": "x"})                               # accepted: it will be done
        await bus.fan_out("volume", FLUSH, {})                                      # once on each host
    except NoSpace as error:
        ...
    except MessagingError as error:
        if error.retryable and not error.begun: ...

Events go to whoever has subscribed at that moment: ``bus.publish("volume.made", MADE, {...})`` and
``bus.subscribe("volume.*", [MADE], take)``.

**Calls are done at most once, casts at least once**, and both not twice by one process.  What must neither be lost nor
be done twice is a task (``cloudd.tasks``).  ``docs/messaging.md`` tells operators and authors more.

This package knows no service and no protocol; the transport over a broker is ``cloudd.protocols.bus``.
"""

from ._bus import Bus
from ._errors import (
    Away,
    BadMessage,
    DeadlinePassed,
    Fault,
    Interrupted,
    MessagingError,
    NobodyThere,
    NoSuchMethod,
    NoSuchVersion,
    Overloaded,
    RemoteFailure,
)
from ._form import Fields, Form, Method, check_name
from ._inprocess import Hub, InProcess, matches
from ._limits import Limits
from ._server import Call, Server
from ._subscription import Event, Subscription
from ._transport import IDelivery, IListening, ITransport, Parcel, SetAside, Take, Way
from ._words import MAX_BYTES

__all__ = [
    "MAX_BYTES",
    "Away",
    "BadMessage",
    "Bus",
    "Call",
    "DeadlinePassed",
    "Event",
    "Fault",
    "Fields",
    "Form",
    "Hub",
    "IDelivery",
    "IListening",
    "ITransport",
    "InProcess",
    "Interrupted",
    "Limits",
    "MessagingError",
    "Method",
    "NoSuchMethod",
    "NoSuchVersion",
    "NobodyThere",
    "Overloaded",
    "Parcel",
    "RemoteFailure",
    "Server",
    "SetAside",
    "Subscription",
    "Take",
    "Way",
    "check_name",
    "matches",
]
