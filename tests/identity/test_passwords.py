"""Passwords: right, wrong, unknown, and too many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.identity import IdentityUnavailable, _passwords
from cloudd.identity._passwords import NOBODY, Passwords, hash_secret, matches


class Slow:
    """``Threads`` whose work is done when the test says so."""

    def __init__(self) -> None:
        self.running: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.running.append((done, lambda: function(*args, **kwargs)))
        return done

    def finish(self) -> None:
        done, call = self.running.pop(0)
        done.callback(call())


class PasswordTests(TestCase):
    def test_hash(self) -> None:
        """argon2id with a salt of its own each time."""
        first, second = hash_secret("pä55"), hash_secret("pä55")
        self.assertTrue(first.startswith("$argon2id$"))
        self.assertNotEqual(first, second)
        self.assertTrue(matches(first, "pä55"))
        self.assertFalse(matches(first, "pä56"))
        self.assertFalse(matches("no hash", "pä55"))

    def test_nobody(self) -> None:
        """An unknown user is checked against a hash of the same cost, which no password matches."""
        self.assertFalse(_passwords._HASHER.check_needs_rehash(NOBODY))
        for password in ("", "nobody", "pä55"):
            self.assertFalse(matches(None, password))

    async def test_bounded(self) -> None:
        """Few run at once, some wait, the rest is refused; a turn is given back when one ends."""
        self.patch(_passwords, "WAITING_LIMIT", 1)
        self.patch(_passwords, "matches", lambda hashed, secret: hashed == secret)
        threads = Slow()
        passwords = Passwords(threads)
        asked = [Deferred.fromCoroutine(passwords.matches("x", "x")) for _ in range(4)]
        self.assertEqual(len(threads.running), _passwords.CONCURRENT)
        await self.assertFailure(asked[3], IdentityUnavailable)
        for _ in range(3):
            threads.finish()
        self.assertEqual([await one for one in asked[:3]], [True, True, True])
        hashing = Deferred.fromCoroutine(passwords.hash("x"))
        threads.finish()
        self.assertTrue((await hashing).startswith("$argon2id$"))
