"""Rows of what is written and read: bodies, lengths, tables."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import Any

from txamqp.client import Closed

from cloudd.protocols.amqp import Unencodable

from .rows import Late, RowCase, plain_fails


class MessageRows(RowCase):
    """What is in messages and in the arguments of methods."""

    # ---- bodies

    async def one_body(self, body: bytes) -> None:
        channel, queue, following = await self.consumed()
        self.party.publish(channel, queue, body)
        received = await self.soon(following())
        self.assertEqual((type(received.body), len(received.body)), (bytes, len(body)))
        self.assertTrue(received.body == body, "other bytes")

    @plain_fails(Late)
    async def test_body_of_multi_byte_characters(self) -> None:
        """UTF-8 with more bytes than characters: txAMQP counts characters, and waits for the rest for ever."""
        await self.one_body("h\u00e9llo w\u00f6rld".encode())

    @plain_fails(AssertionError, "168936")
    async def test_body_of_an_ascii_frame_and_a_binary_one(self) -> None:
        """In txAMQP the second kind of frame takes the place of the first, and nobody hears of it."""
        await self.one_body(b"a" * 131_064 + b"\xff" * 168_936)

    @plain_fails(Closed, "TypeError.*a bytes-like object is required, not 'str'")
    async def test_body_of_a_binary_frame_and_an_ascii_one(self) -> None:
        """In the other order txAMQP fails over it, and with it the consumer."""
        await self.one_body(b"\xff" * 131_064 + b"a" * 168_936)

    @plain_fails(AssertionError, "class 'str'.*class 'bytes'")
    async def test_body_is_bytes(self) -> None:
        """Bytes are bytes; in txAMQP they are text when they look like it."""
        await self.one_body(b"hello")

    # ---- lengths

    @plain_fails(Closed, "FRAME_ERROR - cannot decode")
    async def test_name_beyond_ascii(self) -> None:
        """A length is that of the bytes, not of the characters."""
        channel = await self.opened()
        self.assertEqual(await self.soon(self.party.declare(channel, "\u00e9t\u00e9")), "\u00e9t\u00e9")

    @plain_fails(Closed, "INTERNAL_ERROR")
    async def test_property_beyond_ascii(self) -> None:
        """The same of a message's properties."""
        channel, queue, following = await self.consumed()
        self.party.publish(channel, queue, b"x", {"message-id": "\u00e9t\u00e9", "headers": {"\u00e9": "\u00e9"}})
        received = await self.soon(following())
        self.assertEqual(received.properties, {"message-id": "\u00e9t\u00e9", "headers": {"\u00e9": "\u00e9"}})

    # ---- tables

    async def one_header(self, value: Any) -> None:
        channel, queue, following = await self.consumed()
        self.party.publish(channel, queue, b"x", {"headers": {"x": value}})
        received = await self.soon(following())
        self.assertEqual(received.properties["headers"], {"x": value})
        self.assertIs(type(received.properties["headers"]["x"]), type(value))

    @plain_fails(Late)
    async def test_header_that_is_negative(self) -> None:
        """txAMQP writes whole numbers of 32 bits without a sign."""
        await self.one_header(-5)

    @plain_fails(AssertionError, "-1294967296")
    async def test_header_of_32_bits(self) -> None:
        """Its kind of number has a sign in RabbitMQ: what is above 2**31 comes to others as a negative one."""
        other, its_channel = await self.other()
        queue = await other.declare(its_channel)
        following = await other.consume(its_channel, queue)
        self.party.publish(await self.opened(), queue, b"x", {"headers": {"x": 3_000_000_000}})
        self.assertEqual((await self.soon(following())).properties["headers"], {"x": 3_000_000_000})

    @plain_fails(Closed, "ValueError.*b'd'")
    async def test_headers_that_others_wrote(self) -> None:
        """Types that txAMQP does not know end its connection."""
        headers = {
            "d": 1.5,
            "x": b"raw\xff",
            "V": None,
            "T": datetime(2026, 11, 28, tzinfo=UTC),
            "l": 1 << 40,
            "A": [1],
        }
        channel, queue, following = await self.consumed()
        other, its_channel = await self.other()
        other.publish(its_channel, queue, b"x", {"headers": headers})
        self.assertEqual((await self.soon(following())).properties["headers"], headers)
        await self.assertAlive(channel)

    @plain_fails(Late)
    async def test_header_of_64_bits(self) -> None:
        """Type ``l``."""
        await self.one_header(1 << 40)

    @plain_fails(Late)
    async def test_header_that_is_a_list(self) -> None:
        """Type ``A``."""
        await self.one_header([1, "a", [True]])

    @plain_fails(Late)
    async def test_header_that_is_a_table(self) -> None:
        """Type ``F``."""
        await self.one_header({"a": {"b": 1}})

    @plain_fails(Late)
    async def test_header_of_bytes(self) -> None:
        """Type ``x``."""
        await self.one_header(b"raw\xff")

    @plain_fails(Late)
    async def test_header_that_is_none(self) -> None:
        """Type ``V``."""
        await self.one_header(None)

    @plain_fails(Late)
    async def test_header_with_a_fraction(self) -> None:
        """Type ``d``."""
        await self.one_header(1.5)

    @plain_fails(Late)
    async def test_header_that_is_a_time(self) -> None:
        """Type ``T``."""
        await self.one_header(datetime(2026, 11, 28, tzinfo=UTC))

    @plain_fails(Closed, "PRECONDITION_FAILED")
    async def test_argument_that_is_true(self) -> None:
        """Type ``t``; from txAMQP it is the number 1, which the broker does not want."""
        await self.consumed(arguments={"x-single-active-consumer": True})

    @plain_fails(Closed, "ValueError.*b'l'")
    async def test_redelivery_by_a_quorum_queue(self) -> None:
        """It counts deliveries in an ``l``; txAMQP loses the consumer, and the message comes back at the next start."""
        name = f"rows-{os.urandom(4).hex()}"
        channel, queue, following = await self.consumed(queue=name, durable=True, arguments={"x-queue-type": "quorum"})
        self.party.publish(channel, queue, b"x", {"delivery-mode": 2})
        (await self.soon(following())).reject(True)
        again = await self.soon(following())
        self.assertEqual((again.redelivered, again.properties["headers"]), (True, {"x-delivery-count": 1}))

    @plain_fails(Closed, "ValueError.*b'A'")
    async def test_dead_letter(self) -> None:
        """Its story is an ``A`` of tables."""
        channel, dead, following = await self.consumed()
        other = await self.soon(self.party.open_channel())
        live = await self.soon(
            self.party.declare(other, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        )
        first = await self.soon(self.party.consume(other, live))
        self.party.publish(channel, live, b"x")
        (await self.soon(first())).reject(False)
        (death,) = (await self.soon(following())).properties["headers"]["x-death"]
        self.assertEqual((death["queue"], death["reason"], death["count"]), (live, "rejected", 1))

    # ---- what cannot be written

    @plain_fails(Late)
    async def test_header_without_a_form(self) -> None:
        """It fails alone, and the next message goes out; txAMQP never writes anything again."""
        channel, queue, following = await self.consumed()
        with contextlib.suppress(Unencodable):
            self.party.publish(channel, queue, b"bad", {"headers": {"x": object()}})
        self.party.publish(channel, queue, b"good")
        self.assertIn((await self.soon(following())).body, (b"good", "good"))
