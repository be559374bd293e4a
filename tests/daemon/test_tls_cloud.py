"""A real cloud whose three ports speak TLS: URLs, and what goes on through changes of the code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import copy_tree
from tests.event_stream import EventStream, ask, log_in
from tests.running_cloud import RunningCloud
from tests.tls_front import certificates

SETTINGS = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 0.5\ncanary_percent = 0\ntrees = {trees}\n"
SIZE = 24_000_000


class TLSCloud(RunningCloud):
    """A cloud with one certificate."""

    def __init__(self, settings: str) -> None:
        super().__init__(settings)
        self.key, self.certificate = certificates.write(self.folder, certificates.make(addresses=True))
        self.context = ssl.create_default_context(cafile=self.certificate)

    def endpoint(self, face: str) -> str:
        files = f"privateKey={self.key}:certKey={self.certificate}"
        return f"ssl:{self.ports[face]}:interface=127.0.0.1:{files}"


class TLSCloudTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.trees = Path(tempfile.mkdtemp(prefix="cloudd-tls-trees-"))
        self.addCleanup(shutil.rmtree, self.trees)
        self.cloud = TLSCloud(SETTINGS.format(trees=json.dumps([str(self.trees)])))
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.token, self.project = log_in(self.cloud)
        self.account = f"/v1/AUTH_{self.project}"
        self.fields = {"X-Auth-Token": self.token}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], str]:
        return ask(self.cloud, "object", method, self.account + path, body, self.fields)

    def upgrade(self, number: int, file: str) -> dict[str, Any]:
        """Change one file, and upgrade; gives the outcome."""
        tree = copy_tree(self.trees / str(number))
        module = tree / file
        module.write_text(f"# {number}\n{module.read_text()}")
        cloudctl = [
            str(Path(sys.executable).parent / "cloudctl"),
            "--state",
            str(self.cloud.state),
            "--json",
            "upgrade",
        ]
        done = subprocess.run(
            [*cloudctl, "--yes", "--to", str(tree)], capture_output=True, text=True, timeout=120, check=False
        )
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(outcome["result"], "committed", f"{outcome}\n{self.cloud.log()}")
        return outcome

    def test_urls(self) -> None:
        """Catalog, log-in file and answers name https, and a client that follows them gets on."""
        self.assertIn(f'"{self.cloud.url("api")}/identity/v3"', (self.cloud.state / "clouds.yaml").read_text())
        status, _headers, body = ask(self.cloud, "api", "GET", "/identity/v3/auth/catalog", None, self.fields)
        self.assertEqual(status, 200)
        urls = [endpoint["url"] for service in json.loads(body)["catalog"] for endpoint in service["endpoints"]]
        self.assertTrue(urls)
        self.assertEqual([url for url in urls if not url.startswith("https://127.0.0.1:")], [])
        status, _headers, body = ask(self.cloud, "api", "GET", "/identity/v3", None)
        self.assertEqual(json.loads(body)["version"]["links"][0]["href"], f"{self.cloud.url('api')}/identity/v3/")

    def test_changes_in_the_middle(self) -> None:
        """An upload, a download and an event stream over TLS go on through a swap and two hand-overs, bytes exact."""
        content = os.urandom(1_000_000) * (SIZE // 1_000_000)
        digest = hashlib.sha256(content).digest()
        self.assertEqual(self.ask("PUT", "/box")[0], 201)
        self.assertEqual(self.ask("PUT", "/box/ready", content)[0], 201)
        stream = EventStream(self.cloud, self.token, "/events?types=object")
        self.addCleanup(stream.close)
        upload = self.cloud.connect("object")
        upload.putrequest("PUT", f"{self.account}/box/new")
        upload.putheader("X-Auth-Token", self.token)
        upload.putheader("Content-Length", str(SIZE))
        upload.endheaders()
        download = self.cloud.connect("object")
        download.request("GET", f"{self.account}/box/ready", headers=self.fields)
        answer = download.getresponse()
        got = bytearray(answer.read(100_000))
        ports = [self.port(each) for each in (upload, download)]
        upload.send(content[:5_000_000])
        for number, (file, how) in enumerate(
            (
                ("cloudd/objects/_dates.py", "swap"),
                ("cloudd/daemon/_naming.py", "hand-over"),
                ("cloudd/tls_front/_loop.py", "hand-over"),
            )
        ):
            outcome = self.upgrade(number, file)
            self.assertEqual(outcome["how"], how)
            begin = 5_000_000 * (number + 1)
            upload.send(content[begin : begin + 5_000_000])
            got += answer.read(2_000_000)
            self.assertEqual(self.ask("PUT", f"/box/small{number}", "x")[0], 201)
        upload.send(content[20_000_000:])
        got += answer.read()
        self.assertEqual(hashlib.sha256(got).digest(), digest)
        self.assertEqual(upload.getresponse().status, 201)
        self.assertEqual([self.port(each) for each in (upload, download)], ports)
        again = self.cloud.connect("object")
        again.request("GET", f"{self.account}/box/new", headers=self.fields)
        self.assertEqual(hashlib.sha256(again.getresponse().read()).digest(), digest)
        stream.wait(lambda: len(stream.events) >= 4, "four events")
        self.assertEqual(stream.names("object.created"), ["small0", "small1", "small2", "new"])
        self.assertEqual(stream.ended, "")
        for each in (upload, download, again):
            each.close()

    def port(self, connection: Any) -> int:
        opened: socket.socket = connection.sock
        port: int = opened.getsockname()[1]
        return port
