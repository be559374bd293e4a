"""
Real servers, end to end: what a tenant does with the ``openstack`` command line, on a fresh cloud with guests of QEMU.

    python -m bench.real_servers [--every 0]

Starts its own libvirtd and its own cloudd, root is needed.  Each step waits for what its user would see: a state, a
line that the guest writes on its console (what it got by DHCP and metadata, the key, what its user data printed), an
echo that comes or does not.  Interfaces, routes, tables, processes and files of guests are counted before and after.
``--every`` seconds, if not 0, ``cloudctl upgrade --canary 0`` loads changed code meanwhile.

Prints one JSON object: seconds of each step, what went wrong, what was left.  Exits with 1 when something did.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.upgrading import UpgradedCloud, ended_by_signals, log
from bench.walks_under_upgrades import Upgrading
from tests.ports import free_port
from tests.running_cloud import CHECKOUT, CLIENTS, RunningCloud

SETTINGS = '[compute]\ndriver = "libvirt"\n[upgrade]\nwindow_s = 5\n'
IMAGE, NETWORK, GROUP, KEY = "cloudd-test", "private", "walk", "walk"
USER_DATA = "#!/bin/sh\necho the user data ran\n"
BOOT_S, ECHO_S, COMMAND_S = 240.0, 20.0, 300.0
METADATA = "169.254.169.250"


class Wrong(Exception):
    """A step did not show what it should."""


def echoes(address: str, patience_s: float = 1.0) -> bool:
    """Whether a host answers an ICMP echo (RFC 792)."""
    body = b"cloudd--"
    head = struct.pack("!BBHHH", 8, 0, 0, 4712, 1)
    total = sum(struct.unpack("!8H", head + body))
    total = (total >> 16) + (total & 0xFFFF)
    head = struct.pack("!BBHHH", 8, 0, ~(total + (total >> 16)) & 0xFFFF, 4712, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as link:
        try:
            link.sendto(head + body, (address, 0))
        except OSError:
            return False
        until = time.monotonic() + patience_s
        while (left := until - time.monotonic()) > 0 and select.select([link], [], [], left)[0]:
            answer, (who, _) = link.recvfrom(200)
            if who == address and answer.endswith(body):
                return True
    return False


def until(condition: Callable[[], Any], what: str, patience_s: float) -> Any:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise Wrong(f"in vain for {patience_s:.0f} s: {what}")


def inventory(state: Path) -> dict[str, list[str]]:
    """What servers leave on a host, by kind."""

    def lines(*command: str) -> list[str]:
        return sorted(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    def names(folder: Path) -> list[str]:
        return sorted(str(path.relative_to(state)) for path in folder.rglob("*") if path.is_file())

    processes = [Path(f"/proc/{entry.name}/cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    commands = [_command(path) for path in processes]
    return {
        "interfaces": [line.split(":")[1].strip() for line in lines("ip", "-o", "link")],
        "routes": lines("ip", "route", "show", "table", "all"),
        "tables": lines("nft", "list", "tables"),
        "processes": sorted(word for word in commands if word.startswith(("qemu-system", "dnsmasq"))),
        "files": names(state / "guests") + names(state / "config-drives"),
    }


def _command(path: Path) -> str:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return ""
    return f"{Path(words[0].decode(errors='replace')).name} {b' '.join(words[1:4]).decode(errors='replace')}"


@define
class Walk:
    """
    One tenant.

    :ivar steps: name and seconds of each that ended well
    """

    cloud: RunningCloud
    folder: Path
    steps: list[tuple[str, float]] = field(factory=list)
    wrong: list[str] = field(factory=list)

    def openstack(self, *words: str) -> str:
        done = subprocess.run(
            [str(CLIENTS / "openstack"), *words], env=self.cloud.environment(), capture_output=True, text=True,
            timeout=COMMAND_S, check=False, cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise Wrong(f"openstack {' '.join(words)}: {done.stdout[-500:]}{done.stderr[-1500:]}")
        return done.stdout.strip()

    def json(self, *words: str) -> Any:
        return json.loads(self.openstack(*words, "-f", "json"))

    def step(self, name: str, do: Callable[[], Any]) -> None:
        """One that fails does not hide the others."""
        began = time.monotonic()
        try:
            do()
        except (Wrong, subprocess.SubprocessError, KeyError, ValueError) as error:
            self.wrong.append(f"{name}: {type(error).__name__}: {str(error)[:2000]}")
            log(f"{name}: WRONG {str(error)[:300]}")
        else:
            self.steps.append((name, round(time.monotonic() - began, 1)))
            log(f"{name}: {self.steps[-1][1]} s")

    def is_now(self, server: str, state: str) -> None:
        def look() -> bool:
            shown = self.json("server", "show", server)
            if shown["status"] == "ERROR" != state:
                raise Wrong(f"{server} is in ERROR: {shown.get('fault')}")
            return bool(shown["status"] == state and shown["OS-EXT-STS:task_state"] is None)

        until(look, f"{server} is {state}", BOOT_S)

    def says(self, server: str, words: str, times: int = 1) -> str:
        """The console, when it has these words so often."""

        def look() -> str:
            console = self.openstack("console", "log", "show", server)
            return console if console.count(words) >= times else ""

        try:
            return str(until(look, f"the console of {server} says {words!r} {times} times", BOOT_S))
        except Wrong as error:
            raise Wrong(f"{error}\n{self.openstack('console', 'log', 'show', server)[-1500:]}") from None

    def address(self, server: str) -> str:
        (found,) = self.json("server", "show", server)["addresses"][NETWORK]
        return str(found)

    # ---- what is done

    def create(self) -> None:
        self.openstack("keypair", "create", KEY, "--private-key", "key")
        self.openstack("security", "group", "create", GROUP)
        (self.folder / "user-data").write_text(USER_DATA)
        self.openstack(
            *("server", "create", "--image", IMAGE, "--flavor", "m1.tiny", "--network", NETWORK, "--key-name", KEY),
            *("--user-data", "user-data", "--security-group", GROUP, "--wait", "first"),
        )
        self.is_now("first", "ACTIVE")

    def told(self) -> None:
        console = self.says("first", "cloudd guest: ready, host first")
        key = self.json("keypair", "show", KEY)
        for words in (f"addresses {self.address('first')}", "metadata from the service", "the user data ran"):
            if words not in console:
                raise Wrong(f"the console does not say {words!r}:\n{console[-1500:]}")
        if "key ssh-" not in console or not key["fingerprint"]:
            raise Wrong(f"the key is missing:\n{console[-1500:]}")

    def echo(self) -> None:
        address = self.address("first")
        if echoes(address):
            raise Wrong("an echo comes though no rule lets it in")
        rule = self.json("security", "group", "rule", "create", GROUP, "--protocol", "icmp")["id"]
        until(lambda: echoes(address), "an echo comes when a rule lets it in", ECHO_S)
        self.openstack("security", "group", "rule", "delete", rule)
        until(lambda: not echoes(address), "no echo comes when the rule is gone", ECHO_S)
        self.openstack("security", "group", "rule", "create", GROUP, "--protocol", "icmp")

    def stop_and_start(self) -> None:
        self.openstack("server", "stop", "first")
        self.is_now("first", "SHUTOFF")
        self.openstack("server", "start", "first")
        self.is_now("first", "ACTIVE")
        self.says("first", "boot 2 of this disk")

    def reboot(self, how: str, boot: int) -> None:
        self.openstack("server", "reboot", how, "--wait", "first")
        self.is_now("first", "ACTIVE")
        self.says("first", f"boot {boot} of this disk")

    def snapshot(self) -> None:
        self.openstack("server", "image", "create", "--wait", "--name", "walk-snap", "first")
        self.openstack(
            *("server", "create", "--image", "walk-snap", "--flavor", "m1.tiny", "--network", NETWORK),
            *("--security-group", GROUP, "--config-drive", "true", "--wait", "second"),
        )
        console = self.says("second", "cloudd guest: ready, host second")
        if "metadata from the config drive" not in console:
            raise Wrong(f"the config drive was not read:\n{console[-1500:]}")

    def resize(self) -> None:
        self.openstack("server", "resize", "--flavor", "m1.micro", "first")
        self.is_now("first", "VERIFY_RESIZE")
        self.openstack("server", "resize", "confirm", "first")
        self.is_now("first", "ACTIVE")
        if self.json("server", "show", "first")["flavor"]["name"] != "m1.micro":
            raise Wrong("the flavor is the old one")

    def rebuild(self) -> None:
        self.openstack("server", "rebuild", "--image", IMAGE, "--wait", "first")
        self.is_now("first", "ACTIVE")
        self.says("first", "boot 1 of this disk")

    def delete(self) -> None:
        self.openstack("server", "delete", "--wait", "first", "second")
        self.openstack("image", "delete", "walk-snap")
        self.openstack("security", "group", "delete", GROUP)
        self.openstack("keypair", "delete", KEY)
        if left := self.json("port", "list"):
            raise Wrong(f"ports are left: {left}")

    def all(self) -> None:
        self.step("create", self.create)
        self.step("what the guest was told", self.told)
        self.step("echo refused, allowed, refused", self.echo)
        self.step("stop and start", self.stop_and_start)
        self.step("soft reboot", lambda: self.reboot("--soft", 3))
        self.step("hard reboot", lambda: self.reboot("--hard", 4))
        self.step("snapshot, and boot from it with a config drive", self.snapshot)
        self.step("resize", self.resize)
        self.step("rebuild", self.rebuild)
        self.step("delete", self.delete)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    code = UpgradedCloud.create(SETTINGS)
    cloud, libvirt = code.cloud, code.cloud.state / "libvirt"
    cloud.ports["metadata"] = free_port()
    cloud.addresses = {"metadata": METADATA}
    with cloud.settings_file.open("a") as settings:
        settings.write(f"[network]\nmetadata_port = {cloud.ports['metadata']}\n")
    upgrading = Upgrading(code, options.every, ("swap",))
    cloud.state.mkdir(mode=0o700)
    try:
        subprocess.run([CHECKOUT / "script" / "libvirt", "start", libvirt], check=True, stdout=subprocess.DEVNULL)
        cloud.start()
        subprocess.run([CHECKOUT / "script" / "first-server-setup", cloud.state], check=True)
        before = inventory(cloud.state)
        if options.every:
            upgrading.start()
        walk = Walk(cloud, cloud.folder)
        walk.all()
        if options.every:
            upgrading.stop()
        after = inventory(cloud.state)
        for _ in range(20):  # what is taken away last is so a little later
            if after == before:
                break
            time.sleep(0.5)
            after = inventory(cloud.state)
        left = {kind: sorted(set(after[kind]) ^ set(before[kind])) for kind in before}
        health = cloud_health(cloud)
    finally:
        cloud.stop()
        subprocess.run([CHECKOUT / "script" / "libvirt", "stop", libvirt], check=False, stdout=subprocess.DEVNULL)
        cloud.remove()
    return {
        "steps": dict(walk.steps),
        "wrong": walk.wrong,
        "left": {kind: some for kind, some in left.items() if some},
        "upgrades": len(code.windows),
        "upgrades_failed": upgrading.failures,
        "unwell": health,
    }


def cloud_health(cloud: RunningCloud) -> dict[str, str]:
    """Parts that are not well, with their causes."""
    connection = cloud.connect("api")
    connection.request("GET", "/health")
    parts = json.loads(connection.getresponse().read())["parts"]
    return {name: part["cause"] for name, part in parts.items() if part["status"] != "ok"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Real servers, end to end, with the openstack command line.")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between upgrades; 0: none")
    options = parser.parse_args()
    ended_by_signals()
    found = measure(options)
    print(json.dumps(found, indent=1))
    return 1 if found["wrong"] or found["left"] or found["upgrades_failed"] or found["unwell"] else 0


if __name__ == "__main__":
    sys.exit(main())
