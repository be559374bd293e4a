"""A tenant with the ``openstack`` command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._client import Shown, Used, Wish, Wrong

ADMIN = "cloudd-admin"
KINDS = ("server", "image", "network", "subnet", "security group", "keypair", "flavor", "server group")


class CommandLine:
    """A ``Client``: each call is a command, or some, and none takes longer than ``patience_s``."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s

    def listed(self) -> Mapping[str, list[str]]:
        names = {kind: sorted(self._words(*kind.split(), "list", "-f", "value", "-c", "Name")) for kind in KINDS}
        return {**names, "port": sorted(self._words("port", "list", "-f", "value", "-c", "ID"))}

    def hosts(self) -> Mapping[str, int]:
        kinds = ("hypervisor", "compute service", "network agent", "extension")
        return {kind: len(self._json(*kind.split(), "list", admin=True)) for kind in kinds}

    def zones(self) -> list[str]:
        return sorted(self._words("availability", "zone", "list", "--compute", "-f", "value", "-c", "Zone Name"))

    def used(self) -> Used:
        told = {row["Name"]: row["Value"] for row in self._json("limits", "show", "--absolute")}
        return Used(told["instances_used"], told["total_cores_used"], told["total_ram_used"])

    def quota_servers(self) -> int:
        (limit,) = (row["Limit"] for row in self._json("quota", "show", "--compute") if row["Resource"] == "instances")
        return int(limit)

    # ---- what servers are made of

    def make_flavor(self, name: str, ram_mib: int) -> None:
        self._run("flavor", "create", "--ram", str(ram_mib), "--disk", "1", "--vcpus", "1", name, admin=True)

    def make_key(self, name: str, private: Path) -> str:
        self._run("keypair", "create", name, "--private-key", str(private))
        return self._run("keypair", "show", name, "--public-key")

    def upload(self, name: str, file: Path) -> None:
        self._run("image", "create", "--disk-format", "qcow2", "--file", str(file), name)

    def download(self, name: str, file: Path) -> None:
        self._run("image", "save", "--file", str(file), name)

    def make_server_group(self, name: str) -> None:
        self._run("server", "group", "create", "--policy", "soft-anti-affinity", name)

    def members(self, server_group: str) -> list[str]:
        members = self._json("server", "group", "show", server_group)["members"]
        return members.split(", ") if isinstance(members, str) else list(members)

    def make_network(self, name: str, cidr: str) -> None:
        self._run("network", "create", name)
        self._run("subnet", "create", "--network", name, "--subnet-range", cidr, name)

    def make_security_group(self, name: str) -> None:
        self._run("security", "group", "create", name)

    def make_port(self, name: str, network: str, address: str, security_group: str) -> None:
        self._run(
            *("port", "create", "--network", network, "--fixed-ip", f"ip-address={address}"),
            *("--security-group", security_group, name),
        )

    def port_server(self, name: str) -> str:
        return str(self._json("port", "show", name)["device_id"])

    def let_echoes_in(self, security_group: str) -> str:
        made = self._json("security", "group", "rule", "create", security_group, "--protocol", "icmp")
        return str(made["id"])

    def delete_rule(self, rule_id: str) -> None:
        self._run("security", "group", "rule", "delete", rule_id)

    # ---- servers

    def boot(self, wish: Wish) -> None:
        words = ["server", "create", "--image", wish.image, "--flavor", wish.flavor, "--wait"]
        for option, value in (
            ("--port", wish.port),
            ("--network", wish.network),
            ("--security-group", wish.security_group),
            ("--key-name", wish.key),
            ("--server-group", wish.server_group),
        ):
            words += [option, value] if value else []
        if wish.user_data:
            Path("user-data").write_text(wish.user_data)
            words += ["--user-data", "user-data"]
        self._run(*words, *(["--use-config-drive"] if wish.config_drive else []), wish.name)

    def show(self, server: str) -> Shown:
        shown = self._json("server", "show", server)
        return Shown(
            server_id=shown["id"],
            status=shown["status"],
            task=shown["OS-EXT-STS:task_state"] or "",
            addresses=sorted(address for each in shown["addresses"].values() for address in each),
            flavor=shown["flavor"]["name"],
            fault=str(shown.get("fault") or ""),
        )

    def console(self, server: str) -> str:
        return self._run("console", "log", "show", server)

    def history(self, server: str) -> list[str]:
        return self._words("server", "event", "list", server, "-f", "value", "-c", "Action")[::-1]

    def stop(self, server: str) -> None:
        self._run("server", "stop", server)

    def start(self, server: str) -> None:
        self._run("server", "start", server)

    def suspend(self, server: str) -> None:
        self._run("server", "suspend", server)

    def resume(self, server: str) -> None:
        self._run("server", "resume", server)

    def reboot(self, server: str, *, hard: bool) -> None:
        self._run("server", "reboot", "--hard" if hard else "--soft", "--wait", server)

    def snapshot(self, server: str, image: str) -> None:
        self._run("server", "image", "create", "--wait", "--name", image, server)

    def resize(self, server: str, flavor: str) -> None:
        self._run("server", "resize", "--flavor", flavor, server)

    def confirm(self, server: str) -> None:
        self._run("server", "resize", "confirm", server)

    def rebuild(self, server: str, image: str) -> None:
        self._run("server", "rebuild", "--image", image, "--wait", server)

    def delete_servers(self, *servers: str) -> None:
        self._run("server", "delete", "--wait", *servers)

    def delete(self, kind: str, name: str) -> None:
        self._run(*kind.split(), "delete", name, admin=kind == "flavor")

    # ---- commands

    def _run(self, *words: str, admin: bool = False) -> str:
        command = ["openstack", *(("--os-cloud", ADMIN) if admin else ()), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=self._patience_s, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise Wrong(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-1500:]}")
        return done.stdout.strip()

    def _words(self, *words: str) -> list[str]:
        """One a line."""
        return self._run(*words).splitlines()

    def _json(self, *words: str, admin: bool = False) -> Any:
        return json.loads(self._run(*words, "-f", "json", admin=admin))
