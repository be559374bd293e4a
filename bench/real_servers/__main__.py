"""The walk's cloud: its start and its end, and what is left."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import bench.real_servers
from bench.upgrading import UpgradedCloud, ended_by_signals
from bench.walks_under_upgrades import Upgrading
from tests.hypervisor.own_libvirt import OwnLibvirt
from tests.ports import free_port
from tests.running_cloud import CHECKOUT, CLIENTS, RunningCloud

from ._left import inventory

SETTINGS = '[compute]\ndriver = "libvirt"\n[upgrade]\nwindow_s = 5\n'
METADATA = "169.254.169.250"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Whatever fails, all that was started ends and is removed."""
    with ExitStack() as at_end:
        code = UpgradedCloud.create(SETTINGS)
        at_end.callback(code.remove)
        start(code.cloud, at_end, options.patience)
        subprocess.run([CHECKOUT / "script" / "first-server-setup", code.cloud.state], check=True)
        before = inventory(code.cloud.state)
        # Servers that a walk has left would outlive their cloud, with their taps.
        at_end.callback(as_tenant, code.cloud, options.by, str(options.patience))
        upgrading = Upgrading(code, options.every, ("swap",))
        if options.every:
            upgrading.start()
            at_end.callback(upgrading.stop)
        walked = as_tenant(code.cloud, options.by, str(options.patience), guest_image())
        upgrading.stop()
        return {
            "by": options.by,
            **walked,
            "left": what_is_left(code.cloud, before),
            "upgrades": len(code.windows),
            "upgrades_failed": upgrading.failures,
            "unwell": cloud_health(code.cloud),
        }


def start(cloud: RunningCloud, at_end: ExitStack, patience_s: float) -> None:
    """With a libvirt and a metadata service of its own."""
    cloud.ports["metadata"] = free_port()
    cloud.addresses = {"metadata": METADATA}
    cloud.ready_s = max(cloud.ready_s, patience_s)
    with cloud.settings_file.open("a") as settings:
        settings.write(f"[network]\nmetadata_port = {cloud.ports['metadata']}\n")
    cloud.state.mkdir(mode=0o700)
    libvirt = OwnLibvirt(cloud.state / "libvirt")
    at_end.callback(libvirt.remove)
    libvirt.start()
    at_end.callback(cloud.stop)
    cloud.start()


def guest_image() -> str:
    """The file of the small guest, which ``script/first-server-setup`` has built."""
    command = [CHECKOUT / "script" / "guest-image", CHECKOUT / "build" / "guest-image"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]


def as_tenant(cloud: RunningCloud, *words: str) -> dict[str, Any]:
    """Run ``bench.real_servers.tenant`` with these words; gives what it prints."""
    folder = cloud.folder / "tenant"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [CLIENTS / "python", "-m", "bench.real_servers.tenant", *words],
        env={**cloud.environment(), "PYTHONPATH": str(CHECKOUT)}, cwd=folder, check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def what_is_left(cloud: RunningCloud, before: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is more, or less, than before, by kind; what is taken away last is so a little later."""
    for _ in range(20):
        after = inventory(cloud.state)
        if after == before:
            break
        time.sleep(0.5)
    differences = {kind: Counter(after[kind]) - Counter(before[kind]) for kind in before}
    differences |= {f"{kind}, missing": Counter(before[kind]) - Counter(after[kind]) for kind in before}
    return {kind: sorted(some.elements()) for kind, some in differences.items() if some}


def cloud_health(cloud: RunningCloud) -> dict[str, str]:
    """Parts that are not well, with their causes."""
    connection = cloud.connect("api")
    connection.request("GET", "/health")
    parts = json.loads(connection.getresponse().read())["parts"]
    return {name: part["cause"] for name, part in parts.items() if part["status"] != "ok"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=bench.real_servers.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", choices=["cli", "sdk"], default="cli", help="the tenant's program")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds that a guest may take to boot")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between upgrades; 0: none")
    options = parser.parse_args()
    ended_by_signals()
    found = measure(options)
    print(json.dumps(found, indent=1))
    return 1 if found["wrong"] or found["left"] or found["upgrades_failed"] or found["unwell"] else 0


if __name__ == "__main__":
    sys.exit(main())
