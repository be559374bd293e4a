"""Uploads and downloads of both faces that go on in another process, in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.protocols.http import NotExportable
from storage import Listing, StoreFull, UnknownState
from tests.http_client import request_bytes
from tests.protocols.http.conversation import Conversation, TestSite
from tests.protocols.http.transports import MemoryTransport
from tests.protocols.s3.s3_client import ACCOUNT, S3Client
from tests.protocols.swift.face import ALICE, FaceCase
from tests.storage.direct import DirectIndex, direct_store, files_below

#: Bytes that the client's side takes at once.
ROOM = 40_000


def talk_with(handler: Any, face: str) -> Conversation:
    """A client of ``handler`` whose connection can be moved."""
    return Conversation(site=TestSite(handler=handler), face=face, transport=MemoryTransport(room=ROOM))


def open_files() -> set[str]:
    """What this process has open of objects, by number and name."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = str(entry.readlink())
            if ("/store/" in name or "memfd:" in name) and not name.endswith(".lock"):
                found.add(f"{entry.name} {name}")
    return found


def say_with_moves(conversation: Conversation, message: bytes, step: int, at_move: Callable[[], object]) -> bytes:
    """Say the message with a move after each ``step`` bytes; what was heard."""
    for begin in range(0, len(message), step):
        conversation.say(message[begin : begin + step])
        if begin + step < len(message) and conversation.state[1]:
            conversation.move()
            at_move()
    return conversation.heard


def hear_with_moves(conversation: Conversation, at_move: Callable[[], object]) -> tuple[bytes, int]:
    """Take the whole answer, with a move each time that some of it has come; the answer, and how many moves."""
    moves = 0
    while conversation.connection.request is not None:
        conversation.before += conversation.transport.take()
        if conversation.connection.request is not None:
            conversation.move()
            moves += 1
            at_move()
    return conversation.heard, moves


class SwiftCase(FaceCase):
    """With a store in memory."""

    async def prepare(self) -> None:
        await self.put_container("c")
        self.data = os.urandom(900_000)

    def begin(self) -> Conversation:
        return talk_with(self.http.site.handler, "object")

    def put(self, *fields: tuple[str, str], name: str = "o", body: bytes | None = None) -> bytes:
        headers = [("X-Auth-Token", ALICE), *fields]
        return request_bytes("PUT", f"{self.account}/c/{name}", headers=headers, body=body)

    def get(self, *fields: tuple[str, str], name: str = "o") -> bytes:
        return request_bytes("GET", f"{self.account}/c/{name}", headers=[("X-Auth-Token", ALICE), *fields])

    def forget_tokens(self) -> None:
        """All tokens have expired meanwhile."""
        self.identity.tokens.clear()


class SwiftUploadTests(SwiftCase):
    async def test_declared_length(self) -> None:
        """An upload that moves every 70,000 bytes is one upload; nobody is asked for the token again."""
        etag = hashlib.md5(self.data).hexdigest()
        message = self.put(("ETag", etag), ("X-Object-Meta-A", "1"), ("Content-Type", "x/y"), body=self.data)
        heard = say_with_moves(self.begin(), message, 70_000, self.forget_tokens)
        self.assertEqual(heard[:12], b"HTTP/1.1 201", heard)
        facts = await self.store.object(self.account_name, "c", "o")
        self.assertEqual((facts.etag, facts.size, facts.content_type), (etag, len(self.data), "x/y"))
        self.assertEqual(facts.metadata, {"meta:a": "1"})
        reading = await self.store.open(self.account_name, "c", "o")
        ((descriptor, offset, length),) = reading.regions(0, facts.size)
        self.assertEqual(os.pread(descriptor, length, offset), self.data)
        reading.close()

    async def test_chunked(self) -> None:
        pieces = [self.data[begin : begin + 99_991] for begin in range(0, len(self.data), 99_991)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        message = self.put(("Transfer-Encoding", "chunked"), body=body)
        heard = say_with_moves(self.begin(), message, 50_001, self.forget_tokens)
        self.assertEqual(heard[:12], b"HTTP/1.1 201", heard)
        facts = await self.store.object(self.account_name, "c", "o")
        self.assertEqual((facts.etag, facts.size), (hashlib.md5(self.data).hexdigest(), len(self.data)))

    async def test_every_byte(self) -> None:
        """Moved after each byte of its body."""
        message = self.put(body=self.data[:300])
        conversation = self.begin()
        conversation.say(message[:-300])
        heard = say_with_moves(conversation, message[-300:], 1, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 201", heard)
        facts = await self.store.object(self.account_name, "c", "o")
        self.assertEqual(facts.etag, hashlib.md5(self.data[:300]).hexdigest())

    async def test_wrong_md5(self) -> None:
        """Found out at the end, over all bytes; nothing is kept."""
        message = self.put(("ETag", "0" * 32), body=self.data)
        heard = say_with_moves(self.begin(), message, 400_000, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 422", heard)
        self.assertEqual(await self.names("c"), [])

    async def test_condition(self) -> None:
        """It is derived again from the head, and judged when the name is given."""
        message = self.put(("If-None-Match", "*"), body=self.data)
        conversation = self.begin()
        conversation.say(message[:-1000])
        conversation.move()
        await self.put_object("c", "o", b"somebody was quicker")
        conversation.say(message[-1000:])
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 412", conversation.heard)

    async def test_longer_than_allowed(self) -> None:
        """What came before the move counts."""
        body = b"%x\r\n%b\r\n" % (self.max_object_bytes + 1, bytes(self.max_object_bytes + 1)) + b"0\r\n\r\n"
        message = self.put(("Transfer-Encoding", "chunked"), body=body)
        heard = say_with_moves(self.begin(), message, 3_000_000, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 413", heard)
        self.assertEqual(await self.names("c"), [])

    async def test_full(self) -> None:
        """The disk is full where it goes on: it is told so, and nothing is kept."""
        conversation = self.begin()
        message = self.put(body=self.data)
        conversation.say(message[:-400_000])
        conversation.move()
        self.fill()
        conversation.say(message[-400_000:])
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 507", conversation.heard)
        self.assertEqual(await self.names("c"), [])

    def fill(self) -> None:
        self.store._capacity = 1

    async def test_client_leaves(self) -> None:
        """After the move: nothing is kept."""
        conversation = self.begin()
        conversation.say(self.put(body=self.data)[:-1])
        conversation.move()
        conversation.transport.lose()
        self.assertEqual(await self.names("c"), [])
        self.assertEqual([request.status for request in conversation.site.over], [499])

    async def test_getting_its_name(self) -> None:
        """Once its last byte has come it is not moved any more, and follows when it has ended."""
        conversation = self.begin()
        told: list[Any] = []
        conversation.factory.may_move = told.append
        gate: Deferred[None] = Deferred()
        original = self.store.put_object

        def later(*args: Any, **kwargs: Any) -> Any:
            return gate.addCallback(lambda _: original(*args, **kwargs))

        self.patch(self.store, "put_object", later)
        conversation.say(self.put(body=self.data))
        conversation.clock.advance(0)
        told.clear()
        cause = str(self.assertRaises(NotExportable, conversation.move))
        self.assertIn("its name", cause)
        gate.callback(None)
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 201")
        conversation.clock.advance(0)
        self.assertEqual(told, [conversation.connection])
        conversation.move()
        conversation.say(self.get())

    async def test_in_this_process(self) -> None:
        """``begin_again`` is the same in one process."""
        conversation = self.begin()
        message = self.put(body=self.data)
        conversation.say(message[:-500_000])
        conversation.connection.begin_again(conversation.site.handled[-1])
        conversation.say(message[-500_000:])
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 201")
        facts = await self.store.object(self.account_name, "c", "o")
        self.assertEqual(facts.etag, hashlib.md5(self.data).hexdigest())

    async def test_state_of_other_code(self) -> None:
        """It is refused with a cause; its files are closed, and what is left of the body is no object."""
        for state in (("swift-post", 1), ("swift-put", 99)):
            before = open_files()
            conversation = self.begin()
            message = self.put(body=self.data)
            conversation.say(message[:-1000])
            move = conversation.site.handled[-1].move
            assert move is not None
            conversation.site.handled[-1].can_move(move.tell, move.abandon, move.descriptors, state=state)
            conversation.move()
            self.assertEqual(conversation.heard[:12], b"HTTP/1.1 503", conversation.heard)
            conversation.say(message[-1000:])
            self.assertEqual(await self.names("c"), [])
            self.assertEqual(open_files() - before, set())


class SwiftDownloadTests(SwiftCase):
    async def prepare(self) -> None:
        await super().prepare()
        await self.put_object("c", "o", self.data)

    def replace(self) -> None:
        """The object is overwritten and deleted, and all tokens have expired."""
        self.forget_tokens()
        self.successResultOf(Deferred.fromCoroutine(self.replaced()))

    async def replaced(self) -> None:
        if await self.store.containers(self.account_name, Listing()):
            upload = await self.store.receive({})
            upload.write(b"new")
            await self.store.put_object(self.account_name, "c", "o", upload, etag="", content_type="", metadata={})
            await self.store.delete_object(self.account_name, "c", "o")
            await self.store.upkeep()

    def body_of(self, heard: bytes) -> bytes:
        return heard.partition(b"\r\n\r\n")[2]

    async def test_whole(self) -> None:
        """Every byte is of the version that was begun, whatever happens to its name."""
        before = open_files()
        conversation = self.begin()
        conversation.say(self.get())
        heard, moves = hear_with_moves(conversation, self.replace)
        self.assertGreater(moves, 3)
        self.assertTrue(self.body_of(heard) == self.data)
        self.assertEqual([request.sent_bytes for request in conversation.site.over], [len(self.data)])
        self.assertEqual(open_files() - before, set())

    async def test_range(self) -> None:
        conversation = self.begin()
        conversation.say(self.get(("Range", "bytes=100001-800000")))
        heard, moves = hear_with_moves(conversation, self.replace)
        self.assertGreater(moves, 1)
        self.assertTrue(self.body_of(heard) == self.data[100_001:800_001])
        self.assertEqual(heard[:12], b"HTTP/1.1 206")

    async def test_several_ranges(self) -> None:
        """Between the parts as inside them, the boundary is the same to the end."""
        fields = [("Range", "bytes=5-300000,10-11,400000-899999")]
        plain = self.begin()
        plain.transport.room = None
        plain.say(self.get(*fields))
        whole = plain.heard
        boundary = whole.partition(b"boundary=")[2].partition(b"\r\n")[0]
        conversation = self.begin()
        conversation.say(self.get(*fields))
        heard, moves = hear_with_moves(conversation, self.replace)
        own = heard.partition(b"boundary=")[2].partition(b"\r\n")[0]
        self.assertGreater(moves, 1)
        self.assertTrue(heard.replace(own, boundary) == whole)

    async def test_large_object(self) -> None:
        """The segment that is open is read to its end; the others are opened by their names."""
        pieces = [self.data[begin : begin + 200_000] for begin in range(0, len(self.data), 200_000)]
        for number, piece in enumerate(pieces):
            await self.put_object("c", f"s/{number}", piece)
        await self.put_object("c", "large", b"", {"X-Object-Manifest": "c/s/"})
        before = open_files()
        conversation = self.begin()
        conversation.say(self.get(("Range", "bytes=1-899998"), name="large"))

        def delete_the_open_one() -> None:
            self.successResultOf(self.store.delete_objects(self.account_name, "c", ["s/0"]))

        heard, moves = hear_with_moves(conversation, delete_the_open_one)
        self.assertGreater(moves, 3)
        self.assertTrue(self.body_of(heard) == self.data[1:-1])
        self.assertEqual(open_files() - before, set())

    async def test_client_leaves(self) -> None:
        before = open_files()
        conversation = self.begin()
        conversation.say(self.get())
        conversation.move()
        conversation.transport.lose()
        self.assertEqual([request.status for request in conversation.site.over], [200])
        self.assertEqual(open_files() - before, set())

    async def test_state_of_other_code(self) -> None:
        """The answer is broken off, since its bytes cannot be known."""
        before = open_files()
        conversation = self.begin()
        conversation.say(self.get())
        request = conversation.site.handled[-1]
        assert request.move is not None
        request.can_move(dict, request.move.abandon, request.move.descriptors, state=("other", 1))
        conversation.move()
        self.assertTrue(conversation.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(UnknownState)), 1)
        self.assertEqual(open_files() - before, set())


class S3Case(TestCase):
    """With a store in memory."""

    def make_store(self) -> Any:
        return None

    async def setUp(self) -> None:  # type: ignore[override]
        self.s3 = S3Client(self.make_store())
        self.store = self.s3.store
        self.data = os.urandom(900_000)
        await self.s3.make("bucket")

    def begin(self) -> Conversation:
        return talk_with(self.s3.http.site.handler, "s3")

    def later(self) -> None:
        """The signature is too old by now, and the credential is gone."""
        self.s3.clock.advance(10_000)

    def put(
        self,
        payload: str | None,
        body: bytes,
        wire_body: bytes = b"",
        target: str = "/bucket/k",
        **headers: str,
    ) -> bytes:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        signed = self.s3.signed("PUT", target, fields, body, payload=payload)
        return request_bytes("PUT", target, headers=signed, body=wire_body or body, host="s3.cloud")

    async def check(self, key: str = "k") -> None:
        facts = await self.store.object(ACCOUNT, "bucket", key)
        self.assertEqual((facts.etag, facts.size), (hashlib.md5(self.data).hexdigest(), len(self.data)))
        reading = await self.store.open(ACCOUNT, "bucket", key)
        ((descriptor, offset, length),) = reading.regions(0, facts.size)
        self.assertTrue(os.pread(descriptor, length, offset) == self.data)
        reading.close()


class S3UploadTests(S3Case):
    async def test_plain(self) -> None:
        """With the body's SHA-256 signed, and unsigned."""
        for payload in (None, "UNSIGNED-PAYLOAD"):
            message = self.put(payload, self.data, x_amz_meta_a="1")
            heard = say_with_moves(self.begin(), message, 70_000, self.later)
            self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
            await self.check()
            self.assertEqual((await self.store.object(ACCOUNT, "bucket", "k")).metadata, {"meta:a": "1"})

    async def test_body_that_was_not_signed(self) -> None:
        """The SHA-256 is of all bytes, those before the move included."""
        message = self.put(hashlib.sha256(b"other").hexdigest(), self.data)
        heard = say_with_moves(self.begin(), message, 300_000, self.later)
        self.assertEqual(heard[:12], b"HTTP/1.1 400", heard)
        self.assertIn(b"XAmzContentSHA256Mismatch", heard)

    async def test_checksum(self) -> None:
        message = self.put(None, self.data, x_amz_checksum_sha1="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        heard = say_with_moves(self.begin(), message, 300_000, self.later)
        self.assertIn(b"<Code>BadDigest</Code>", heard)

    def signed_chunks(self, message: bytes, sizes: int, trailer: bytes = b"") -> bytes:
        """The body in signed chunks, from the signature in the head on."""
        head = message.decode("latin-1")
        previous = head.partition("Signature=")[2].partition("\r\n")[0]
        date = head.partition("x-amz-date: ")[2].partition("\r\n")[0]
        key, scope = self.s3.signing_key("member-key", date[:8]), f"{date[:8]}/here/s3/aws4_request"

        def sign(kind: str, *digests: str) -> str:
            text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", date, scope, previous, *digests))
            return hmac.new(key, text.encode(), "sha256").hexdigest()

        empty = hashlib.sha256(b"").hexdigest()
        body = b""
        for begin in range(0, len(self.data) + sizes, sizes):
            piece = self.data[begin : begin + sizes]
            previous = sign("PAYLOAD", empty, hashlib.sha256(piece).hexdigest())
            ending = b"\r\n" if piece or not trailer else b""
            body += b"%x;chunk-signature=%s\r\n%s%s" % (len(piece), previous.encode(), piece, ending)
        if trailer:
            last = sign("TRAILER", hashlib.sha256(trailer + b"\n").hexdigest())
            body += trailer + b"\r\nx-amz-trailer-signature:" + last.encode() + b"\r\n\r\n"
        return body

    async def test_signed_chunks(self) -> None:
        """Moved inside chunks, in their lines, and between them; small ones and one of all."""
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        for size, step in ((65_536, 50_001), (900_000, 100_000), (300_000, 299_999)):
            headers = {"content_encoding": "aws-chunked", "x_amz_decoded_content_length": str(len(self.data))}
            head = self.put(kind, b"", b"", **headers)
            body = self.signed_chunks(head, size)
            message = self.put(kind, b"", body, **headers)
            heard = say_with_moves(self.begin(), message, step, self.later)
            self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
            await self.check()

    async def test_signed_trailer(self) -> None:
        """Moved at every byte of the last lines."""
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
        self.data = b"123456789" * 20
        headers = {"x_amz_decoded_content_length": "180", "x_amz_trailer": "x-amz-checksum-crc32"}
        head = self.put(kind, b"", b"", **headers)
        checksum = b64encode(zlib.crc32(self.data).to_bytes(4, "big"))
        body = self.signed_chunks(head, 100, b"x-amz-checksum-crc32:" + checksum)
        message = self.put(kind, b"", body, **headers)
        whole = self.begin()
        whole.say(message)
        conversation = self.begin()
        conversation.say(message[: -len(body)])
        heard = say_with_moves(conversation, body, 1, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
        self.assertEqual(heard.partition(b"\r\n\r\n")[0], whole.heard.partition(b"\r\n\r\n")[0])

    async def test_changed_chunk(self) -> None:
        """The signature of a chunk that began before the move covers what came before the move."""
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        headers = {"x_amz_decoded_content_length": str(len(self.data))}
        head = self.put(kind, b"", b"", **headers)
        body = bytearray(self.signed_chunks(head, 300_000))
        body[1_000] ^= 1
        heard = say_with_moves(self.begin(), self.put(kind, b"", bytes(body), **headers), 200_000, lambda: None)
        self.assertIn(b"<Code>SignatureDoesNotMatch</Code>", heard)

    async def test_unsigned_trailer(self) -> None:
        kind = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        self.data = b"123456789"
        headers = {"x_amz_decoded_content_length": "9", "x_amz_trailer": "x-amz-checksum-crc32"}
        body = b"4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"
        message = self.put(kind, b"", body, **headers)
        conversation = self.begin()
        conversation.say(message[: -len(body)])
        heard = say_with_moves(conversation, body, 1, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
        await self.check()

    async def test_part(self) -> None:
        """A part goes on with the checksum that its upload was made with."""
        facts = await self.store.begin_multipart(
            ACCOUNT, "bucket", "k", content_type="", metadata={"upload:algorithm": "crc32", "upload:type": "COMPOSITE"}
        )
        target = f"/bucket/k?partNumber=3&uploadId={facts.upload_id}"
        message = self.put(None, self.data, target=target)
        heard = say_with_moves(self.begin(), message, 200_000, self.later)
        self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
        (part,) = await self.store.parts(ACCOUNT, "bucket", "k", facts.upload_id)
        self.assertEqual((part.number, part.size, part.etag), (3, 900_000, hashlib.md5(self.data).hexdigest()))
        self.assertIn("checksum:crc32", part.metadata)

    async def test_presigned(self) -> None:
        """What a URL signs is not asked for its time again."""
        target = self.s3.presigned("PUT", "/bucket/k", expires=60)
        message = request_bytes("PUT", target, body=self.data, host="s3.cloud")
        heard = say_with_moves(self.begin(), message, 200_000, self.later)
        self.assertEqual(heard[:12], b"HTTP/1.1 200", heard)
        await self.check()

    async def test_state_of_other_code(self) -> None:
        """Nothing is done without a signature for which no code here has a state."""
        for state in (("s3-delete", 1), ("s3-put", 99)):
            before = open_files()
            conversation = self.begin()
            message = self.put(None, self.data)
            conversation.say(message[:-1000])
            request = conversation.site.handled[-1]
            move = request.move
            assert move is not None
            request.can_move(move.tell, move.abandon, move.descriptors, state=state)
            conversation.move()
            self.assertEqual(conversation.heard[:12], b"HTTP/1.1 503", conversation.heard)
            conversation.say(message[-1000:])
            self.assertEqual(await self.store.objects(ACCOUNT, "bucket", Listing()), [])
            self.assertEqual(open_files() - before, set())


class S3DownloadTests(S3Case):
    async def put_parts(self) -> None:
        """The object, in three parts."""
        facts = await self.store.begin_multipart(ACCOUNT, "bucket", "k", content_type="", metadata={})
        for number in (1, 2, 3):
            upload = await self.store.receive({})
            upload.write(self.data[(number - 1) * 300_000 : number * 300_000])
            await self.store.put_part(
                ACCOUNT, "bucket", "k", facts.upload_id, number, upload, etag=str(number), metadata={}
            )
        await self.store.complete_multipart(
            ACCOUNT, "bucket", "k", facts.upload_id, [(n, str(n)) for n in (1, 2, 3)], etag="e-3", metadata={}
        )

    def remove(self) -> None:
        self.later()
        self.successResultOf(self.store.delete_objects(ACCOUNT, "bucket", ["k"]))
        self.successResultOf(self.store.upkeep())

    async def test_object_of_parts(self) -> None:
        """Whole and in a range, over the files of all its parts, though it is deleted meanwhile."""
        for value, start, stop in (("bytes=0-", 0, 900_000), ("bytes=299999-700000", 299_999, 700_001)):
            await self.put_parts()
            before = open_files()
            fields = self.s3.signed("GET", "/bucket/k", {"Range": value})
            conversation = self.begin()
            conversation.say(request_bytes("GET", "/bucket/k", headers=fields, host="s3.cloud"))
            heard, moves = hear_with_moves(conversation, self.remove)
            self.assertGreater(moves, 1)
            self.assertTrue(heard.partition(b"\r\n\r\n")[2] == self.data[start:stop])
            self.assertEqual(open_files() - before, set())


class OnDisk(TestCase):
    """Mixed into the tests above: the same with the store of files."""

    folder: Path

    def make_store(self) -> Any:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(index.close)
        store = direct_store(self.folder / "store", index)
        self.successResultOf(store.recover())
        self.addCleanup(self.look_for_rests, store)
        return store

    def look_for_rests(self, store: Any) -> None:
        """Every file belongs to an object or a part."""
        self.successResultOf(store.close())
        rows = store._index.connection.execute("SELECT extents FROM objects UNION ALL SELECT extents FROM parts")
        named = "".join(extents for (extents,) in rows)
        self.assertEqual([file for file in files_below(self.folder / "store") if file not in named], [])


class SwiftUploadOnDiskTests(OnDisk, SwiftUploadTests):
    """``FileStore``."""

    def fill(self) -> None:
        def no_room(_: int) -> None:
            raise StoreFull("no room")

        self.patch(self.store._space, "take", no_room)


class SwiftDownloadOnDiskTests(OnDisk, SwiftDownloadTests):
    """``FileStore``."""


class S3UploadOnDiskTests(OnDisk, S3UploadTests):
    """``FileStore``."""


class S3DownloadOnDiskTests(OnDisk, S3DownloadTests):
    """``FileStore``."""
