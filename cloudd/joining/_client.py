# -*- test-case-name: tests.protocols.nodes.test_listener -*-
"""
The asking side: one short HTTPS exchange a call.  Blocks.

**Whom a machine believes that knows nobody yet.**  It fetches the authority's certificate over a connection that it
does not trust, and compares the SHA-256 with the one in its token.  With that certificate alone it opens a second
connection, on which the other side must have a certificate of this authority with the name ``AUTHORITY_NAME``.  Only
there it says the token's secret.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ._folder import NodeFolder
from ._keys import certificate_facts, new_request
from ._messages import (
    AUTHORITY_NAME,
    MAX_MESSAGE_BYTES,
    AuthorityAnswer,
    JoinAnswer,
    JoinRequest,
    Refusal,
    RenewAnswer,
    RenewRequest,
)
from ._token import JoinToken, fingerprint

TIMEOUT_S = 15.0
ATTEMPTS = 4  # while the other side changes its code, its port is closed for a moment
AGAIN_S = 0.5

A = TypeVar("A", bound=msgspec.Struct)


class JoinFailed(Exception):
    """The exchange did not succeed; the text says why and what to do."""


def join(token: JoinToken, folder: NodeFolder, *, name: str, version: str, again: bool = False) -> JoinAnswer:
    """
    Become a node: afterwards all that one needs is in the folder.

    :param again: stay the node that the folder says
    :raises JoinFailed: nobody answers, or not the right one, or the answer is no
    :raises NodeFolderError: the answer is odd; nothing was kept
    """
    unknown = ssl.create_default_context()
    unknown.check_hostname, unknown.verify_mode = False, ssl.CERT_NONE  # what it gives is compared below
    authority = _exchange(token.address, unknown, "GET", "/v1/authority", None, AuthorityAnswer).authority
    try:
        is_right = fingerprint(authority) == token.fingerprint
    except ValueError:
        is_right = False
    if not is_right:
        raise JoinFailed(
            f"{token.address} is not of the cloud that the token is for (its certificate is another one): "
            "somebody may be listening in between; nothing was told"
        )
    key, request = new_request()
    asked = JoinRequest(
        token_id=token.token_id,
        secret=token.secret,
        name=name,
        request=request,
        version=version,
        node_id=folder.node_id() if again else "",
    )
    trusted = trusting(authority)
    # Once and no more: whether it was done is not known when the answer is lost, and the token is used then.
    answer = _exchange(token.address, trusted, "POST", "/v1/join", asked, JoinAnswer, attempts=1)
    folder.keep(answer, key)
    return answer


def renew(address: str, folder: NodeFolder) -> float:
    """
    Get the next certificate, over mutual TLS with the one that is there.

    :param address: of a node that issues certificates
    :return: when it ends, in seconds since the epoch
    :raises JoinFailed:
    """
    authority, identity = folder.authority(), folder.identity()
    context = trusting(authority)
    with_identity(context, identity)
    key, request = new_request()
    answer = _exchange(address, context, "POST", "/v1/renew", RenewRequest(request=request), RenewAnswer)
    try:
        facts, own = certificate_facts(answer.certificate), certificate_facts(identity)
        if facts.node_id != own.node_id:
            raise ValueError("it is another node's")
        with_identity(trusting(answer.authority), answer.certificate + key)
    except (ValueError, ssl.SSLError) as error:
        raise JoinFailed(f"{address} gave a certificate that cannot be used: {error}") from None
    folder.keep_certificate(key, answer.certificate, answer.authority)
    return facts.ends


def trusting(authority: str) -> ssl.SSLContext:
    """A client's context that believes this authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


def with_identity(context: ssl.SSLContext, identity: str) -> None:
    """
    Have a context show a certificate.

    :param identity: PEM of key and certificate
    :raises ssl.SSLError: they are none, or do not belong together
    """
    # OpenSSL reads by name: a file in memory that nobody else sees.
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, identity.encode())
        context.load_cert_chain(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


def _exchange(
    address: str,
    context: ssl.SSLContext,
    method: str,
    path: str,
    message: msgspec.Struct | None,
    kind: type[A],
    attempts: int = ATTEMPTS,
) -> A:
    for attempt in range(1, attempts + 1):
        try:
            status, body = _ask(address, context, method, path, message)
            break
        except ssl.SSLCertVerificationError as error:
            raise JoinFailed(f"{address} shows a certificate that is not right: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == attempts:
                raise JoinFailed(
                    f"{address} does not answer ({error or type(error).__name__}): is a daemon listening there "
                    "([nodes] listen), and may this machine reach it?"
                ) from None
            time.sleep(AGAIN_S * attempt)
    if status != 200:
        raise JoinFailed(_cause_in(body, status))
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise JoinFailed(f"the answer of {address} cannot be read: {error}") from None


def _ask(address: str, context: ssl.SSLContext, method: str, path: str, message: Any) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    connection = _Connection(host.strip("[]"), int(port), context)
    try:
        body = None if message is None else msgspec.json.encode(message)
        connection.request(method, path, body=body, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(4 * MAX_MESSAGE_BYTES)
    finally:
        connection.close()


class _Connection(http.client.HTTPSConnection):
    """To an address, with a certificate of another name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S, context=context)
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=AUTHORITY_NAME)


def _cause_in(body: bytes, status: int) -> str:
    try:
        return msgspec.json.decode(body, type=Refusal).cause
    except msgspec.MsgspecError:
        return f"the answer is {status}: {body[:200]!r}"
