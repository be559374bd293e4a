"""A whole daemon on a PostgreSQL that goes away and comes back."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.database.postgres import Postgres
from tests.running_cloud import RunningCloud

PATIENCE_S = 90.0


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Postgres()
        self.addCleanup(self.server.remove)
        self.server.make()
        url = self.server.url(self.server.create())
        self.cloud = RunningCloud(f'[workers]\nfront = 2\n[database]\nurl = "{url}"\n')
        self.addCleanup(self.cloud.remove)
        self.cloud.start()

    def log_in(self) -> int:
        """The status of a log-in."""
        name, password = self.cloud.tenant()
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        client = self.cloud.connect("api")
        client.request("POST", "/identity/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer.status

    def health(self) -> Any:
        """The part of the database."""
        client: http.client.HTTPConnection = self.cloud.connect("api")
        client.request("GET", "/health")
        found = json.loads(client.getresponse().read())
        client.close()
        return found["parts"]["database"]

    def wait(self, status: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.health())["status"] != status:
            self.assertLess(time.monotonic(), deadline, f"{found}\n{self.cloud.log()}")
            time.sleep(0.2)
        return found

    def test_away_and_back(self) -> None:
        """Health names the server and the cause; when it is back everything goes on, without a restart."""
        self.assertEqual(self.log_in(), 201)
        self.assertFalse((self.cloud.state / "cloud.sqlite").exists())
        self.server.stop()
        cause = self.wait("failing")["cause"]
        self.assertIn(f"PostgreSQL at 127.0.0.1:{self.server.port}", cause)
        self.assertIn("refused", cause)
        self.server.start()
        self.wait("ok")
        self.assertEqual(self.log_in(), 201)
