"""Tokens as words: what is written is read, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.joining import BadToken, JoinToken

TOKEN = JoinToken("192.0.2.1:5010", "f" * 64, "a" * 32, "5" * 64)


class TokenTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """With addresses of all kinds; a word that a terminal has broken is whole again; no secret is shown."""
        for address in ("192.0.2.1:5010", "node-1.example.org:1", "[2001:db8::1]:65535"):
            token = JoinToken(address, "f" * 64, "a" * 32, "5" * 64)
            text = token.text()
            self.assertTrue(text.isascii() and " " not in text)
            self.assertEqual(JoinToken.read(text), token)
            self.assertEqual(JoinToken.read(f" {text[:30]}\n  {text[30:]}\n"), token)
        self.assertNotIn("5555", repr(TOKEN))

    def test_refused(self) -> None:
        """Cut off anywhere, of another kind, with another address than one, too long."""
        text = TOKEN.text()
        odd = (
            JoinToken("host", "f" * 64, "a" * 32, "5" * 64),
            JoinToken("a b:1", "f" * 64, "a" * 32, "5" * 64),
            JoinToken("h:1", "F" * 64, "a" * 32, "5" * 64),
            JoinToken("h:1", "f" * 64, "../x", "5" * 64),
            JoinToken("h:1", "f" * 64, "a" * 32, ""),
        )
        for bad in (
            *(text[:end] for end in range(len(text))),
            "x" + text,
            text + "A" * 2_000,
            *(t.text() for t in odd),
        ):
            with self.assertRaises(BadToken, msg=bad):
                JoinToken.read(bad)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """No text raises anything else."""
        for word in (text, f"cloudd1-{text}"):
            with self.assertRaises(BadToken):
                JoinToken.read(word)
