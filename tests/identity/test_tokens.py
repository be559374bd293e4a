"""What a token says survives sealing; nothing else is taken for a token."""

from __future__ import annotations

import string

import msgspec
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from cloudd.identity import InvalidToken
from cloudd.identity._keys import KeyRing
from cloudd.identity._tokens import METHODS, NotOpenedByAnyKey, TokenFacts, new_audit_id, seal, unseal

KEY = Fernet(Fernet.generate_key())
RING = KeyRing(MultiFernet([KEY]), ())
hexadecimal = some.text("0123456789abcdef", min_size=32, max_size=32)
identifiers = hexadecimal | some.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=64)
times = some.integers(0, 2**53)


@some.composite
def token_facts(draw: some.DrawFn) -> TokenFacts:
    scope = draw(some.sampled_from(["project_id", "domain_id", ""]))
    methods = draw(some.sets(some.sampled_from(METHODS), min_size=1))
    return TokenFacts(
        user_id=draw(identifiers),
        methods=tuple(sorted(methods, key=METHODS.index)),
        audit_ids=tuple(new_audit_id() for _ in range(draw(some.integers(1, 2)))),
        issued_at=draw(times),
        expires_at=draw(times),
        application_credential_id=draw(some.none() | identifiers),
        ec2_access=draw(some.none() | identifiers),
        seen=draw(times),
        **({scope: draw(identifiers)} if scope else {}),
    )


class TokenTests(SynchronousTestCase):
    @given(token_facts())
    @settings(max_examples=100, deadline=None)
    def test_round_trip(self, facts: TokenFacts) -> None:
        self.assertEqual(unseal(seal(facts, RING, 0), RING), facts)

    def test_length(self) -> None:
        """The usual token fits a column of 255 characters, which clients and proxies count on."""
        identifier = "0123456789abcdef" * 2
        facts = TokenFacts(
            user_id=identifier,
            methods=("password", "token"),
            audit_ids=(new_audit_id(), new_audit_id()),
            issued_at=2**51,
            expires_at=2**51,
            project_id=identifier,
            seen=10**9,
        )
        token = seal(facts, RING, 0)
        self.assertLess(len(token), 256)
        self.assertNotIn("=", token)

    @given(some.text(max_size=300) | some.text(string.ascii_letters + "-_=", min_size=60, max_size=400))
    @settings(max_examples=100, deadline=None)
    def test_anything_else(self, text: str) -> None:
        self.assertRaises(InvalidToken, unseal, text, RING)

    def test_changed_anywhere(self) -> None:
        """A token with any one character changed is refused (the last may carry unused bits)."""
        facts = TokenFacts(user_id="u", methods=("token",), audit_ids=(new_audit_id(),), issued_at=1, expires_at=2)
        token = seal(facts, RING, 0)
        for place in range(len(token) - 1):
            changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
            self.assertRaises(InvalidToken, unseal, changed, RING)

    def test_foreign_key(self) -> None:
        facts = TokenFacts(user_id="u", methods=("token",), audit_ids=(new_audit_id(),), issued_at=1, expires_at=2)
        other = KeyRing(MultiFernet([Fernet(Fernet.generate_key())]), ())
        self.assertRaises(NotOpenedByAnyKey, unseal, seal(facts, other, 0), RING)

    def test_other_layouts(self) -> None:
        """What a later release sealed with our key is an invalid token and not a crash."""
        for content in ([2, b"tu", 0, b"", 1, 1, 2, [b"x" * 16], b"", b"", 0], [1, "text"], {"user": "u"}, 7):
            token = KEY.encrypt(msgspec.msgpack.encode(content)).decode().rstrip("=")
            self.assertRaises(InvalidToken, unseal, token, RING)
