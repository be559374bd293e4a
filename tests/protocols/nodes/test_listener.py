"""The listener for nodes on a real port: joining, renewing, and whoever means no good."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cloudd.joining import (
    JoinFailed,
    JoinToken,
    NodeFolder,
    certificate_facts,
    fingerprint,
    join,
    renew,
)
from cloudd.joining._client import trusting, with_identity
from cloudd.nodes import _rows, _tokens
from cloudd.protocols.nodes import NodeListener, _connection
from cloudd.protocols.nodes._listener import PATIENCE_S
from tests.nodes.house import FakeWork, House, Machine
from tests.ports import free_port

AUTHORITY = b"GET /v1/authority HTTP/1.1\r\n\r\n"


class ListenerCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.port = free_port()
        self.machine = self.house.machine("one", listen=f"tcp:{self.port}:interface=127.0.0.1")
        self.machine.nodes.lead()
        self.listener = self.listening(self.machine)
        await self.house.until(lambda: self.machine.nodes.credentials)
        self.authority = await self.machine.nodes._authority.certificate()

    def listening(self, machine: Machine) -> NodeListener:
        listener = NodeListener(machine.resources, machine.nodes)
        listener.lead()
        self.addCleanup(listener.rest)
        return listener

    async def token(self, *roles: str) -> JoinToken:
        token_id, secret = await self.house.database.write(_tokens.make, roles or ("tasks",), 60, "me")
        return JoinToken(f"127.0.0.1:{self.port}", fingerprint(self.authority), token_id, secret)

    def folder(self) -> NodeFolder:
        return NodeFolder(Path(self.mktemp()).absolute())

    async def join(self, token: JoinToken, folder: NodeFolder | None = None, name: str = "two") -> Any:
        return await deferToThread(join, token, folder or self.folder(), name=name, version="1")

    async def refused(self, token: JoinToken, name: str = "two") -> str:
        """Why a machine does not get in; nothing is left of the attempt."""
        folder = self.folder()
        try:
            await self.join(token, folder, name)
        except JoinFailed as error:
            self.assertFalse(folder.path.exists())
            return str(error)
        raise AssertionError("it got in")

    async def talk(self, talk: Callable[[socket.socket], bytes]) -> bytes:
        """What a raw client that knows nobody gets, in a thread."""

        def run() -> bytes:
            with socket.create_connection(("127.0.0.1", self.port), 20) as raw:
                return talk(raw)

        return cast(bytes, await deferToThread(run))

    async def say(self, data: bytes) -> bytes:
        """What comes back over TLS."""
        return await self.talk(lambda raw: spoken(raw, data))


def spoken(raw: socket.socket, data: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(raw) as tls:
        tls.sendall(data)
        return until_end(tls)


def until_end(tls: socket.socket) -> bytes:
    found = b""
    try:
        while piece := tls.recv(65_536):
            found += piece
    except (ConnectionError, ssl.SSLError):
        pass
    return found


class JoinTests(ListenerCase):
    async def test_joins_and_renews(self) -> None:
        """A machine gets its certificate, its keys and the cloud's settings, and then the next certificate."""
        secrets = self.machine.resources.secrets
        (secrets / "tokens").mkdir()
        (secrets / "tokens" / "1").write_text("a key")
        folder = self.folder()
        answer = await self.join(await self.token("tasks", "api"), folder)
        self.assertEqual((answer.name, answer.roles, answer.secrets), ("two", ["api", "tasks"], {"tokens/1": "a key"}))
        self.assertEqual(answer.settings["database"], {"url": self.house.url})
        node = await self.house.database.read(_rows.find, "two")
        self.assertEqual((node.id, node.state), (answer.node_id, "joining"))
        before = certificate_facts(folder.identity())
        ends = await deferToThread(renew, f"127.0.0.1:{self.port}", folder)
        after = certificate_facts(folder.identity())
        self.assertEqual((after.node_id, after.ends), (before.node_id, ends))
        self.assertNotEqual(after.serial, before.serial)

    async def test_with_the_authority(self) -> None:
        """A node of that role gets the key file, and no other does."""
        answer = await self.join(await self.token("authority"))
        self.assertEqual(list(answer.secrets), ["authority/1"])
        answer = await self.join(await self.token("tasks"), name="three")
        self.assertEqual(answer.secrets, {})

    async def test_again(self) -> None:
        """A node whose certificate has ended stays who it is, by a new token; one that was removed does not."""
        folder = self.folder()
        answer = await self.join(await self.token("compute"), folder)
        (folder.path / "identity.pem").write_text("ended long ago")

        async def again() -> Any:
            token = await self.token("tasks")
            return await deferToThread(join, token, folder, name="other", version="1", again=True)

        found = await again()
        self.assertEqual((found.node_id, found.name, found.roles), (answer.node_id, "two", ["compute"]))
        await deferToThread(renew, f"127.0.0.1:{self.port}", folder)
        self.assertEqual(len(await self.house.database.read(_rows.nodes)), 2)
        await self.house.database.write(_rows.remove, answer.node_id, "me", 60, FakeWork().node_removed, force=True)
        failed = await self.assertFailure(Deferred.fromCoroutine(again()), JoinFailed)
        self.assertIn("was removed", str(failed))
        (folder.path / "id").write_text("e" * 32)
        failed = await self.assertFailure(Deferred.fromCoroutine(again()), JoinFailed)
        self.assertIn("is not known", str(failed))

    async def test_replay(self) -> None:
        """A token is for one machine; a wrong secret does not use it up."""
        token = await self.token()
        wrong = JoinToken(token.address, token.fingerprint, token.token_id, "0" * 64)
        self.assertIn("not good", await self.refused(wrong))
        await self.join(token)
        self.assertIn("not good", await self.refused(token, "three"))

    async def test_names(self) -> None:
        """A taken name and an odd one are refused, and the token is good afterwards."""
        token = await self.token()
        self.assertIn("a node one already", await self.refused(token, "one"))
        for name in ("", "a b", "-a", "x" * 64, "a\n", "é"):
            self.assertIn("a node's name has", await self.refused(token, name))
        await self.join(token)

    async def test_another_cloud(self) -> None:
        """Whoever listens in between has another authority: nothing is told to it."""
        token = await self.token()
        other = JoinToken(token.address, "0" * 64, token.token_id, token.secret)
        self.assertIn("not of the cloud that the token is for", await self.refused(other))
        self.assertEqual(await self.house.database.read(_tokens.check, token.token_id, token.secret), ("tasks",))

    async def test_a_node_that_poses(self) -> None:
        """A node whose certificate is good, but which may not let others in, is told nothing."""
        folder = self.folder()
        await self.join(await self.token("tasks"), folder)
        token = await self.token()
        with socket.create_server(("127.0.0.1", 0)) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with_identity(context, folder.identity())
            answering = deferToThread(pose, server, context, self.authority)
            posed = JoinToken(f"127.0.0.1:{server.getsockname()[1]}", token.fingerprint, token.token_id, token.secret)
            self.assertIn("certificate that is not right", await self.refused(posed))
            self.assertNotIn(token.secret.encode(), await answering)

    async def test_removed(self) -> None:
        """A node that was removed gets no certificate, nor does one that shows none or one of another cloud."""
        folder = self.folder()
        answer = await self.join(await self.token(), folder)
        self.assertIn(
            b"403", await self.say(b"POST /v1/renew HTTP/1.1\r\ncontent-length: 14\r\n\r\n" + b'{"request":""}')
        )
        await self.house.database.write(_rows.remove, answer.node_id, "me", 60, FakeWork().node_removed, force=True)
        failed = await self.assertFailure(deferToThread(renew, f"127.0.0.1:{self.port}", folder), JoinFailed)
        self.assertIn("was removed", str(failed))

    async def test_rate(self) -> None:
        """An address that failed ten times in a minute has to wait; nodes with a certificate need not."""
        folder = self.folder()
        await self.join(await self.token(), folder)
        for _ in range(10):
            self.assertIn(b" 404 ", await self.say(b"GET /odd HTTP/1.1\r\n\r\n"))
        self.assertIn(b" 429 ", await self.say(AUTHORITY))
        await deferToThread(renew, f"127.0.0.1:{self.port}", folder)


def pose(server: socket.socket, context: ssl.SSLContext, authority: str) -> bytes:
    """Answer with the right authority to whoever asks, as long as they do; gives all that was said after that."""
    import json

    body = json.dumps({"authority": authority}).encode()
    said = b""
    server.settimeout(5)
    for place in range(2):
        try:
            with context.wrap_socket(server.accept()[0], server_side=True) as tls:
                found = tls.recv(65_536)
                said += found if place else b""
                tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except (ssl.SSLError, OSError):
            continue
    return said


class HostileTests(ListenerCase):
    async def good(self) -> None:
        """The listener answers others as ever."""
        self.listener._limits._failed.clear()
        self.assertIn(b" 200 ", await self.say(AUTHORITY))
        await self.house.until(lambda: not self.listener._connections)
        self.assertEqual(self.listener._limits._open.total(), 0)

    async def test_garbage(self) -> None:
        """Before TLS and in it, bodies that are no messages, too much of everything."""

        def plain(raw: socket.socket) -> bytes:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
            return until_end(raw)

        self.assertNotIn(b"HTTP", await self.talk(plain))
        huge = b"POST /v1/join HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n"
        self.assertIn(b" 413 ", await self.say(huge))
        self.assertIn(b" 431 ", await self.say(b"x" * 8_300))
        for body in (b"", b"null", b"[]", b"{", b'{"token_id": 1}', b"\xff" * 100, b"[" * 60_000):
            head = b"POST /v1/join HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.listener._limits._failed.clear()
            self.assertIn(b" 400 ", await self.say(head + body), body[:20])
        await self.good()

    async def test_old_tls(self) -> None:
        """TLS 1.2 is not spoken."""

        def old(raw: socket.socket) -> bytes:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            try:
                context.wrap_socket(raw)
            except (ssl.SSLError, ConnectionError):
                return b"refused"
            return b""

        self.assertEqual(await self.talk(old), b"refused")
        await self.good()

    async def test_slow(self) -> None:
        """Who sends a byte now and then, in the handshake or after it, is cut off after its time."""
        self.patch(_connection, "PATIENCE_S", 0.5)

        def nothing(raw: socket.socket) -> bytes:
            return until_end(raw)

        def drips(raw: socket.socket) -> bytes:
            import time

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(raw) as tls:
                try:
                    for place in range(200):
                        tls.sendall(AUTHORITY[place % 5 : place % 5 + 1])
                        time.sleep(0.05)
                except (ConnectionError, ssl.SSLError):
                    return b"cut off"
            return b""

        self.assertEqual(await self.talk(nothing), b"")
        self.assertEqual(await self.talk(drips), b"cut off")
        self.patch(_connection, "PATIENCE_S", 10.0)
        await self.good()

    async def test_many(self) -> None:
        """More connections of one address than may be are closed at once; the others are served."""
        held = [socket.create_connection(("127.0.0.1", self.port), 10) for _ in range(20)]
        await self.house.until(lambda: len(self.listener._connections) == 8)
        for each in held:
            each.close()
        await self.house.until(lambda: not self.listener._connections)
        await self.good()

    async def test_half(self) -> None:
        """Who leaves in the middle leaves nothing."""

        def leaves(raw: socket.socket) -> bytes:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            tls = context.wrap_socket(raw)
            tls.sendall(b"POST /v1/join HTTP/1.1\r\ncontent-length: 500\r\n\r\nhalf")
            tls.close()
            return b""

        await self.talk(leaves)
        await self.good()


class LifeTests(ListenerCase):
    async def test_next_generation(self) -> None:
        """It waits for the port of the one before, and has it as soon as that rests; health says so meanwhile."""
        other = self.house.machine("one", resources=self.machine.resources)
        other.nodes.lead()
        await self.house.until(lambda: other.nodes.credentials)
        second = self.listening(other)
        self.assertEqual(second.port, 0)
        [part] = second.health()
        self.assertEqual((part.ok, "it is tried again" in part.cause), (True, True))
        second._waits_from -= PATIENCE_S + self.machine.resources.settings.upgrade.window_s
        self.assertFalse(second.health()[0].ok)
        await self.listener.rest()
        await self.house.until(lambda: second.port)
        self.assertEqual((second.port, second.health()[0].ok), (self.port, True))
        self.assertIn(b" 200 ", await self.say(AUTHORITY))

    async def test_rest_waits(self) -> None:
        """For an exchange that is under way; nobody is accepted any more."""
        raw = socket.create_connection(("127.0.0.1", self.port), 10)
        self.addCleanup(raw.close)
        await self.house.until(lambda: self.listener._connections)
        resting = self.listener.rest()
        await self.house.until(lambda: not self.listener._closing)
        self.assertNoResult(resting)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        raw.close()
        await resting

    async def test_rotation_drops_nobody(self) -> None:
        """A connection that began under the old certificate ends well under the new; the next one sees the new."""
        nodes = self.machine.nodes
        assert nodes.credentials is not None
        old = nodes.credentials.serial
        begun, go_on = [False], [False]

        def slowly(raw: socket.socket) -> bytes:
            import time

            with trusting(self.authority).wrap_socket(raw, server_hostname="authority.cloudd.internal") as tls:
                before = serial(tls)
                tls.sendall(AUTHORITY[:10])
                begun[0] = True
                while not go_on[0]:
                    time.sleep(0.01)
                tls.sendall(AUTHORITY[10:])
                return b"%d %b" % (before, until_end(tls))

        waiting = Deferred.fromCoroutine(self.talk(slowly))
        await self.house.until(lambda: begun[0])
        node = nodes._presence.node
        assert node is not None
        await nodes._certificate._renew(node, [])
        assert nodes.credentials is not None
        new = nodes.credentials.serial
        self.assertNotEqual(old, new)
        go_on[0] = True
        said = await waiting
        self.assertTrue(said.startswith(b"%d HTTP/1.1 200 " % old), said[:80])

        def looks(raw: socket.socket) -> bytes:
            with trusting(self.authority).wrap_socket(raw, server_hostname="authority.cloudd.internal") as tls:
                found = serial(tls)
                tls.sendall(AUTHORITY)
                return b"%d %b" % (found, until_end(tls))

        self.assertTrue((await self.talk(looks)).startswith(b"%d HTTP/1.1 200 " % new))


def serial(tls: ssl.SSLSocket) -> int:
    der = tls.getpeercert(binary_form=True)
    assert der is not None
    return certificate_facts(ssl.DER_cert_to_PEM_cert(der)).serial
