# -*- test-case-name: tests.joining.test_token -*-
"""
A token, as an operator carries it from one machine to the other: one word.

It says where to ask, whom to believe there, and what lets in; so whoever sees it may join until it is used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl

import msgspec
from attrs import field, frozen

_START = "cloudd1-"
MAX_TOKEN = 1_024
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_HEX = {"fingerprint": 64, "token_id": 32, "secret": 64}


class BadToken(ValueError):
    """This text is no token; the message says what is wrong with it."""


class _Form(msgspec.Struct, array_like=True):
    address: str
    fingerprint: str
    token_id: str
    secret: str


@frozen
class JoinToken:
    """
    :ivar address: ``HOST:PORT`` of a node that lets others in; of IPv6 ``[ADDRESS]:PORT``
    :ivar fingerprint: SHA-256 of the authority's certificate, 64 hex digits
    """

    address: str
    fingerprint: str
    token_id: str
    secret: str = field(repr=False)

    def text(self) -> str:
        """One word that ``read`` takes."""
        packed = msgspec.msgpack.encode(_Form(self.address, self.fingerprint, self.token_id, self.secret))
        return _START + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> JoinToken:
        """
        :raises BadToken:
        """
        word = "".join(text.split())  # terminals break long words
        if not word.startswith(_START) or len(word) > MAX_TOKEN:
            raise BadToken(f"this is no token: one begins with {_START}, see `cloudctl node token`")
        packed = word[len(_START) :]
        try:
            form = msgspec.msgpack.decode(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), type=_Form)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise BadToken("a part of the token is missing or wrong: copy it as a whole") from None
        for name, length in _HEX.items():
            if not re.fullmatch(f"[0-9a-f]{{{length}}}", getattr(form, name)):
                raise BadToken(f"the token's {name} is wrong: copy it as a whole")
        if not _ADDRESS.fullmatch(form.address):
            raise BadToken("the token's address is wrong: copy it as a whole")
        return cls(form.address, form.fingerprint, form.token_id, form.secret)


def fingerprint(certificate: str) -> str:
    """
    SHA-256 of a certificate.

    :param certificate: PEM
    :raises ValueError: it is none
    """
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
