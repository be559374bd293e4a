"""``script/first-server-setup`` on a new cloud."""

from __future__ import annotations

import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import CHECKOUT, RunningCloud


def load() -> Any:
    loader = SourceFileLoader("first_server_setup", str(CHECKOUT / "script" / "first-server-setup"))
    spec = spec_from_loader("first_server_setup", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class FirstServerSetupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = RunningCloud()
        self.addCleanup(self.cloud.remove)
        self.addCleanup(self.cloud.stop)
        self.cloud.start()

    def set_up(self) -> None:
        done = subprocess.run(
            [CHECKOUT / "script/first-server-setup", self.cloud.state], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_once(self) -> None:
        """The tenant has an image, a network and a subnet, and again: the same."""
        script, found = load(), []
        for _ in range(2):
            self.set_up()
            tenant = script.Cloud(script.read_clouds(self.cloud.state / "clouds.yaml")["cloudd"])
            (image,) = tenant.ask("GET", "image", "/v2/images?name=cloudd-test")["images"]
            (network,) = tenant.ask("GET", "network", "/v2.0/networks?name=private")["networks"]
            (subnet,) = tenant.ask("GET", "network", "/v2.0/subnets")["subnets"]
            found.append((image["id"], network["id"], subnet["id"]))
            self.assertEqual((image["status"], image["visibility"]), ("active", "public"))
            self.assertEqual((subnet["cidr"], subnet["network_id"]), ("10.20.0.0/24", network["id"]))
            self.assertEqual((self.cloud.state / "first-server").read_text(), "done\n")
        self.assertEqual(found[0], found[1])
