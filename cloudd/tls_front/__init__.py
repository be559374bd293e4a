"""
The TLS front: a small process of its own that ends TLS and passes plaintext on to the workers.

It is started as ``python -P -m cloudd.tls_front`` and uses nothing but the standard library and this package, so that
hardly any upgrade of the daemon changes it, and a connection through it outlives them all::

    client ==TLS== front --socket pair-- worker

For each connection, once its handshake is done, the front makes a pair of unix sockets.  It keeps one end; the other
one goes to the workers over a channel that they share as they share a listening socket, in one message with an
``Origin``: who the client is.  So a worker gets a connected socket and the client's address at the same moment; there
is no state in between, nobody but the front can claim an address, and the socket is moved like any other one.

What the daemon uses of this package: ``Origin`` (the message's text), ``CertificateFiles`` and ``CertificateStore``
(to check files before anything listens), ``PROTOCOL`` and ``FRONT_FILES`` (whose code this is).  The control messages
are described in ``_control``.
"""

from ._certificates import CertificateError, CertificateFiles, CertificateStore
from ._messages import PROCESS_NAME, PROTOCOL, receive_message, send_message, socket_name
from ._origin import MAX_ORIGIN_BYTES, Origin, OriginError

#: The code that the process runs, as paths in a tree: it has to be replaced when one of these changes.  The package
#: above is left out: it has no code, but a version that changes with each release.
FRONT_FILES = ("cloudd/tls_front/",)

__all__ = [
    "FRONT_FILES",
    "MAX_ORIGIN_BYTES",
    "PROCESS_NAME",
    "PROTOCOL",
    "CertificateError",
    "CertificateFiles",
    "CertificateStore",
    "Origin",
    "OriginError",
    "receive_message",
    "send_message",
    "socket_name",
]
