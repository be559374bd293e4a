# -*- test-case-name: tests.daemon.test_service -*-
"""What the daemon says of its own state: to systemd, and to whoever started it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence

from ._state_folder import StateFolder


def notify_systemd(environment: Mapping[str, str], *lines: str) -> None:
    """Send lines such as ``READY=1`` to systemd (``sd_notify(3)``); without effect when nobody listens."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect("\0" + address[1:] if address.startswith("@") else address)
        notifier.send("\n".join(lines).encode())


def ready_lines(urls: Mapping[str, str], state: StateFolder, written: Sequence[str], seconds: float) -> list[str]:
    """What a person wants to know when the daemon is up."""
    names = {"api": "OpenStack APIs", "object": "Swift", "s3": "S3", "metadata": "metadata"}
    lines = [f"cloudd is ready after {seconds:.2f} s"]
    lines += [
        f"  {names.get(face, face):<15} {url}{'/identity/v3' if face == 'api' else ''}" for face, url in urls.items()
    ]
    if "api" in urls:
        lines.append(f"  operators' page {urls['api']}/ui  (user admin, password in clouds.yaml)")
    first = " (new)" if written else ""
    if state.clouds_file.exists():
        lines.append(
            f"  clouds.yaml{first:<5} {state.clouds_file}  (OS_CLIENT_CONFIG_FILE; clouds cloudd, cloudd-admin)"
        )
    if state.s3_file.exists():
        lines.append(f"  s3.env{first:<10} {state.s3_file}")
    lines.append(f"  control socket  {state.control_socket}")
    return lines


def say(text: str) -> None:
    """Write to standard error itself: twistd puts its log in the place of ``sys.stderr``."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode("utf-8", "replace") + b"\n")
