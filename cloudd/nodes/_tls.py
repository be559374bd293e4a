# -*- test-case-name: tests.nodes.test_authority -*-
"""
A node's certificate in use: contexts for what it listens on and for where it connects to.

A context is never changed: a new certificate makes new contexts, which the next handshakes take, while connections
that are there keep theirs for as long as they live.  So a certificate is rotated without dropping one.
"""

from __future__ import annotations

import os
import ssl

from attrs import frozen

from cloudd.joining import certificate_facts

DUE = 1 / 3  # of its life is left
EARLY_S = 3_600  # so long before it was issued it begins: hosts' clocks differ


@frozen
class Credentials:
    """
    :ivar serves: for listening; a client's certificate is asked for, and must be of this authority where it has one
    :ivar connects: for connecting to a node; the certificate of the other side must be of this authority
    :ivar begins: seconds since the epoch, as is ``ends``
    """

    node_id: str
    serial: int
    begins: float
    ends: float
    serves: ssl.SSLContext
    connects: ssl.SSLContext

    @classmethod
    def read(cls, identity: str, authority: str) -> Credentials:
        """
        Blocks for a millisecond.

        :param identity: PEM of certificate and key
        :raises ValueError: they cannot be used
        """
        facts = certificate_facts(identity)
        try:
            serves = _context(ssl.PROTOCOL_TLS_SERVER, identity, authority)
            serves.verify_mode = ssl.CERT_OPTIONAL  # who joins has none yet
            serves.num_tickets = 0  # a session that is taken up again would be of the certificate before
            connects = _context(ssl.PROTOCOL_TLS_CLIENT, identity, authority)
        except ssl.SSLError as error:
            raise ValueError(f"OpenSSL does not take the node's certificate: {error.reason or error}") from None
        return cls(facts.node_id, facts.serial, facts.begins, facts.ends, serves, connects)

    @property
    def lasts_s(self) -> float:
        """Its life from when it was issued."""
        return self.ends - self.begins - EARLY_S

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return self.ends - now < DUE * self.lasts_s


def _context(side: int, identity: str, authority: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)  # OpenSSL reads by name
    try:
        os.write(descriptor, identity.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
