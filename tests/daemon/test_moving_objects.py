"""The real daemon changes its code in the middle of uploads and downloads through both faces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.hostile.signer import Signer
from tests.http_client import request_bytes
from tests.running_cloud import CHECKOUT, RunningCloud

MIB = 1_048_576
SETTINGS = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 1\n"


class Stream:
    """One request whose body or answer is moved on by hand."""

    def __init__(self, port: int, head: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.send(head)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the answer."""
        status = int(self.file.readline().split()[1])
        fields = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        return status, fields

    def answer(self) -> tuple[int, bytes]:
        """Status and body."""
        status, fields = self.head()
        return status, self.file.read(int(fields.get("content-length", "0")))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class MovingObjectsTests(SynchronousTestCase):
    """A hand-over and its rollback, and a swap: nobody loses a byte, and no connection is closed."""

    def setUp(self) -> None:
        tree = Path(self.mktemp()).resolve()
        for name in ("cloudd", "net", "reload", "storage", "twisted"):
            shutil.copytree(CHECKOUT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        for folder in (tree, *tree.rglob("*")):
            folder.chmod(0o755 if folder.is_dir() else 0o644)
        self.cloud = RunningCloud(SETTINGS, tree)
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.token, self.url = self.log_in()
        names = dict(
            line.removeprefix("export ").split("=", 1)
            for line in (self.cloud.state / "s3.env").read_text().splitlines()
            if "=" in line and not line.startswith("#")
        )
        self.signer = Signer(
            names["AWS_ACCESS_KEY_ID"].strip("'\""),
            names["AWS_SECRET_ACCESS_KEY"].strip("'\""),
            f"127.0.0.1:{self.cloud.ports['s3']}",
        )
        self.data = os.urandom(MIB) * 16
        self.digest = hashlib.md5(self.data).hexdigest()
        self.assertEqual(self.swift("PUT", "/c").answer()[0], 201)
        self.assertEqual(self.s3("PUT", "/bucket").answer()[0], 200)

    def log_in(self) -> tuple[str, str]:
        """A token of the tenant's, and the path of its account."""
        name, password = self.cloud.tenant()
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        stream = self.stream("api", "POST", "/identity/v3/auth/tokens", {"content-type": "application/json"}, body)
        status, fields = stream.head()
        self.assertEqual(status, 201)
        document = json.loads(stream.file.read(int(fields["content-length"])))
        return fields["x-subject-token"], f"/v1/AUTH_{document['token']['project']['id']}"

    def stream(self, face: str, method: str, target: str, fields: dict[str, str], body: bytes | None = None) -> Stream:
        port = self.cloud.ports[face]
        stream = Stream(port, request_bytes(method, target, headers=fields, body=body, host=f"127.0.0.1:{port}"))
        self.addCleanup(stream.close)
        return stream

    def swift(self, method: str, path: str, **fields: str) -> Stream:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.stream("object", method, self.url + path, {"x-auth-token": self.token, **named})

    def s3(self, method: str, target: str, *, payload: str | None = None, **fields: str) -> Stream:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        unsigned: dict[str, str] = {}
        for name in {"content-length", "range"} & set(named):
            unsigned[name] = named.pop(name)
        signed = self.signer.headers(method, target, b"", named, payload=payload)
        return self.stream("s3", method, target, {**signed, **unsigned})

    def upgrade(self, how: str, file: str) -> dict[str, Any]:
        """Change a file of the tree, and upgrade to it; the tree is as before afterwards."""
        path = self.cloud.tree / file
        before = path.read_text()
        path.write_text(f"{before}\n# changed for {how}\n")
        outcome = self.control("upgrade", "--yes", "--how", how, "--canary", "0")
        path.write_text(before)
        return outcome

    def control(self, *words: str) -> dict[str, Any]:
        """The last line that ``cloudctl`` writes."""
        outcome: dict[str, Any] = json.loads(self.cloudctl(*words).splitlines()[-1])
        return outcome

    def trace(self, request_id: str, count: int) -> list[dict[str, Any]]:
        """The parts of a request that has ended; its lines are there soon."""
        parts: list[dict[str, Any]] = []
        for _ in range(20):
            parts = json.loads(self.cloudctl("trace", request_id))["requests"]
            if len(parts) >= count:
                break
            time.sleep(0.2)
        return parts

    def cloudctl(self, *words: str) -> str:
        command = [
            sys.executable,
            "-c",
            "from cloudd.cli import main; main()",
            "--json",
            "--state",
            str(self.cloud.state),
        ]
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=120, check=False, cwd=CHECKOUT
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.cloud.log())
        return done.stdout

    def begin(self) -> dict[str, Stream]:
        """Five uploads and three downloads, each in its middle."""
        length = str(len(self.data))
        self.upload_id = f"req-{uuid.uuid4()}"
        self.signed = self.signer.headers(
            "PUT",
            "/bucket/chunks",
            b"",
            {"x-amz-decoded-content-length": length},
            payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        )
        pieces = [self.data[begin : begin + 300_000] for begin in range(0, len(self.data), 300_000)]
        self.chunked = self.signer.chunked(self.signed, *pieces)
        begun = {
            "swift": self.swift(
                "PUT", "/c/swift", content_length=length, etag=self.digest, x_openstack_request_id=self.upload_id
            ),
            "framed": self.swift("PUT", "/c/framed", transfer_encoding="chunked", etag=self.digest),
            "plain": self.s3(
                "PUT", "/bucket/plain", payload=hashlib.sha256(self.data).hexdigest(), content_length=length
            ),
            "unsigned": self.s3("PUT", "/bucket/unsigned", payload="UNSIGNED-PAYLOAD", content_length=length),
            "chunks": self.stream(
                "s3", "PUT", "/bucket/chunks", {**self.signed, "content-length": str(len(self.chunked))}
            ),
        }
        for stream, whole in self.bodies(begun):
            stream.send(whole[: len(whole) // 3])
        begun |= {
            "whole": self.swift("GET", "/c/source"),
            "several": self.swift("GET", "/c/source", range="bytes=0-9999999,10000000-"),
            "range": self.s3("GET", "/bucket/source", range="bytes=1-"),
        }
        return begun

    def bodies(self, streams: dict[str, Stream]) -> list[tuple[Stream, bytes]]:
        """Uploads and their whole bodies as they go over the wire."""
        step = 200_000
        pieces = [self.data[begin : begin + step] for begin in range(0, len(self.data), step)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        wire = {"swift": self.data, "framed": framed, "plain": self.data, "unsigned": self.data, "chunks": self.chunked}
        return [(streams[name], body) for name, body in wire.items()]

    def go_on(self, streams: dict[str, Stream], begin: int, end: int) -> None:
        """Send of each upload some further thirds."""
        for stream, whole in self.bodies(streams):
            stream.send(whole[len(whole) * begin // 3 : len(whole) * end // 3])

    def check(self, streams: dict[str, Stream]) -> None:
        for name in ("swift", "framed", "plain", "unsigned", "chunks"):
            self.assertIn(streams[name].answer()[0], (200, 201), name)
        whole, several, part = (streams[name].answer() for name in ("whole", "several", "range"))
        self.assertEqual((whole[0], hashlib.md5(whole[1]).hexdigest()), (200, self.digest))
        self.assertEqual((part[0], part[1] == self.data[1:]), (206, True))
        self.assertEqual(several[0], 206)
        self.assertTrue(self.data[:10_000_000] in several[1])
        self.assertTrue(self.data[10_000_000:] in several[1])
        for name in ("swift", "framed"):
            self.assertTrue(self.swift("GET", f"/c/{name}").answer()[1] == self.data, name)
        for name in ("plain", "unsigned", "chunks"):
            self.assertTrue(self.s3("GET", f"/bucket/{name}").answer()[1] == self.data, name)
        # The same connections are still good.
        for stream in streams.values():
            stream.send(b"OPTIONS /info HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(stream.head()[0], (200, 403))

    def test_hand_over_and_back(self) -> None:
        length = str(len(self.data))
        for stream in (
            self.swift("PUT", "/c/source", content_length=length),
            self.s3("PUT", "/bucket/source", payload="UNSIGNED-PAYLOAD", content_length=length),
        ):
            stream.send(self.data)
            self.assertIn(stream.answer()[0], (200, 201))
        streams = self.begin()
        outcome = self.upgrade("hand-over", "cloudd/daemon/_naming.py")
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertEqual(outcome["follow"], {}, outcome)
        self.assertGreaterEqual(outcome["moved"], len(streams))
        self.go_on(streams, 1, 2)
        outcome = self.control("rollback", "--yes")
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertEqual(outcome["follow"], {}, outcome)
        self.go_on(streams, 2, 3)
        self.check(streams)
        parts = self.trace(self.upload_id, 3)
        self.assertEqual([part["generation"] for part in parts], [1, 2, 3])
        self.assertEqual([part["moved"] for part in parts], [True, True, False])
        self.assertEqual((parts[0]["hash"], parts[0]["hash"] == parts[1]["hash"]), (parts[2]["hash"], False))

        streams = self.begin()
        outcome = self.upgrade("swap", "cloudd/objects/_names.py")
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "swap"), outcome)
        self.go_on(streams, 1, 3)
        self.check(streams)
