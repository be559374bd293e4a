# -*- test-case-name: tests.drivers.test_simulated -*-
"""What a simulated guest writes on its serial console.  Pure."""

from __future__ import annotations

from typing import Final

LOGIN: Final = "login: "


def boot_text(name: str, boots: int, vcpus: int, memory_mib: int, addresses: list[str], kernel_arguments: str) -> bytes:
    """
    :param boots: how often it was started with this disk, this one included
    :param addresses: MAC addresses of its interfaces
    """
    lines = [
        "SeaBIOS (simulated by cloudd: nothing runs here)",
        "[    0.000000] Linux version 0.0.0-simulated",
        f"[    0.000000] Command line: {kernel_arguments or 'console=ttyS0'}",
        f"[    0.010000] Memory: {memory_mib * 1024}K available",
        f"[    0.020000] smp: Brought up 1 node, {vcpus} CPU{'s' if vcpus > 1 else ''}",
        *(f"[    0.500000] virtio_net eth{index}: {mac}" for index, mac in enumerate(addresses)),
        f"[    0.900000] vda: mounted, boot {boots} from this disk",
        "",
        f"{name} {LOGIN}",
    ]
    return "\r\n".join(lines).encode()


def end_text() -> bytes:
    """Of a guest that shuts down when it is asked to."""
    return b"\r\n[   99.000000] reboot: Power down\r\n"
