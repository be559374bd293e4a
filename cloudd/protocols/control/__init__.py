"""
The control socket: HTTP with JSON for root and the daemon's own user.  The calls are listed in ``cloudd.control``.

    listener = bind_control(settings.state / SOCKET_NAME)
    port = reactor.adoptStreamPort(listener.fileno(), socket.AF_UNIX, ControlFactory(anchor, reactor))

It can be spoken to by hand: ``curl --unix-socket STATE/control.sock http://localhost/v1/status``.
"""

from ._listening import ControlFactory, SocketError, bind_control
from ._site import ControlSite

__all__ = ["ControlFactory", "ControlSite", "SocketError", "bind_control"]
