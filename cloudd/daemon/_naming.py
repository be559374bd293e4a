"""Names of processes, as ``ps -o comm`` and ``top`` show them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def name_process(part: str) -> None:
    """Call this process ``cloudd PART``; the kernel keeps 15 bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"cloudd {part}", encoding="ascii")
