"""What servers leave on a host, counted before and after."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cloudd.interfaces.settings import NODE_ID
from cloudd.network_agent._making import prefix_of


def inventory(state: Path) -> dict[str, list[str]]:
    """What servers leave on a host, by kind; of processes those that have files of this cloud."""

    def lines(*command: str) -> list[str]:
        return sorted(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    def names(folder: Path) -> list[str]:
        return sorted(str(path.relative_to(state)) for path in folder.rglob("*") if path.is_file())

    processes = [Path(f"/proc/{entry.name}/cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    dhcp = f"cloudd-{prefix_of((state / NODE_ID).read_text().strip())}/"
    commands = [words for path in processes if str(state) in (words := _command(path)) or dhcp in words]
    return {
        "interfaces": [line.split(":")[1].strip() for line in lines("ip", "-o", "link")],
        "routes": lines("ip", "route", "show", "table", "all"),
        "proxies": lines("ip", "neigh", "show", "proxy"),
        "rules": lines("nft", "--stateless", "list", "ruleset"),
        "processes": sorted(words[:120] for words in commands if words.startswith(("qemu-system", "dnsmasq"))),
        "files": names(state / "guests") + names(state / "config-drives"),
    }


def _command(path: Path) -> str:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return ""
    return f"{Path(words[0].decode(errors='replace')).name} {b' '.join(words[1:]).decode(errors='replace')}"
