"""Tokens: one machine, one time, no longer than they are valid; on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from twisted.internet.defer import DeferredList
from twisted.trial.unittest import TestCase

from cloudd.database import now_us, tables
from cloudd.nodes import JoinRefused, WrongNodeState, _rows, _tokens

from .house import House

ENDS_US = 2_000_000_000_000_000


class TokenRules:
    kind: str

    async def setUp(self: Any) -> None:
        self.house = House.built(self, self.kind)
        self.read, self.write = self.house.database.read, self.house.database.write
        self.token = await self.write(_tokens.make, ("tasks", "api"), 60, "me")

    def redeem(self: Any, node_id: str = "a" * 32, name: str = "one", token: Any = None) -> Any:
        return self.write(_tokens.redeem, *(token or self.token), node_id, name, ENDS_US)

    async def test_one_time(self: Any) -> None:
        """It lets one in, with its roles; who comes later is refused, and nothing of theirs is entered."""
        self.assertEqual(await self.read(_tokens.check, *self.token), ("api", "tasks"))
        self.assertEqual(await self.redeem(), "me")
        [node] = await self.read(_rows.nodes)
        self.assertEqual((node.state, node.roles, node.certificate), ("joining", ("api", "tasks"), ENDS_US / 1e6))
        await self.assertFailure(self.read(_tokens.check, *self.token), JoinRefused)
        await self.assertFailure(self.redeem("b" * 32, "two"), JoinRefused)
        self.assertEqual(len(await self.read(_rows.nodes)), 1)

    async def test_two_at_once(self: Any) -> None:
        """Of two who come with it at one time one is let in."""
        found = await DeferredList(
            [self.redeem("a" * 32, "one"), self.redeem("b" * 32, "two"), self.redeem("c" * 32, "three")],
            consumeErrors=True,
        )
        self.assertEqual(sorted(success for success, _ in found), [False, False, True])
        self.assertEqual(len(await self.read(_rows.nodes)), 1)

    async def test_not_good(self: Any) -> None:
        """Wrong, unknown, too old: the same words for all."""
        token_id, secret = self.token
        words = set()
        for wrong in ((token_id, "0" * 64), ("0" * 32, secret), (token_id, ""), ("", secret), (token_id, "\udc80é")):
            words.add(str(await self.assertFailure(self.read(_tokens.check, *wrong), JoinRefused)))
            words.add(str(await self.assertFailure(self.redeem(token=wrong), JoinRefused)))
        await self.house.set(tables.node_token, expires_us=now_us() - 1)
        words.add(str(await self.assertFailure(self.redeem(), JoinRefused)))
        self.assertEqual(words, {_tokens.REFUSED})

    async def test_taken_name(self: Any) -> None:
        """A name that is another node's leaves the token good."""
        await self.write(_rows.enter, "b" * 32, "one", (), "ready", "me")
        await self.assertFailure(self.redeem(), WrongNodeState)
        await self.redeem(name="two")

    async def test_no_secret_in_the_database(self: Any) -> None:
        """Nothing that is kept lets anybody in."""
        [row] = await self.read(lambda connection: connection.execute(select(tables.node_token)).all())
        self.assertNotIn(self.token[1], str(tuple(row)))
        await self.assertFailure(self.read(_tokens.check, self.token[0], row.secret_hash), JoinRefused)

    async def test_forgotten(self: Any) -> None:
        """Long after its end."""
        self.assertEqual(await self.write(_tokens.forget, 10), 0)
        await self.house.set(tables.node_token, expires_us=now_us() - 11_000_000)
        self.assertEqual(await self.write(_tokens.forget, 10), 1)


class SqliteTokenTests(TokenRules, TestCase):  # type: ignore[misc]
    kind = "sqlite"


class PostgresTokenTests(TokenRules, TestCase):  # type: ignore[misc]
    kind = "postgresql"
