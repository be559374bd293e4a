# -*- test-case-name: tests.drivers.test_libvirt_probe -*-
"""
Whether QEMU can run a guest with an accelerator: asked by running one.

That ``/dev/kvm`` can be opened says little: inside of other virtual machines it often can, and every guest dies.  The
guest here is five instructions long and leaves QEMU with an exit status that nothing else gives.  With KVM it has the
processor of the host, as guests do: there are machines whose KVM runs any other guest's first steps and none of those.
"""

from __future__ import annotations

import subprocess
import tempfile
from typing import Final

PATIENCE_S: Final = 5.0  # KVM needs less than a tenth of a second; a guest that died hangs
_SIZE: Final = 65536
_RESET_VECTOR: Final = 0xFFF0
_VALUE: Final = 0x15
_STATUS: Final = _VALUE << 1 | 1  # what QEMU's isa-debug-exit makes of it
_CODE: Final = bytes((0xB0, _VALUE, 0xE6, 0xF4, 0xF4))  # mov al, VALUE; out 0xf4, al; hlt


def runs_guests(accelerator: str, program: str = "qemu-system-x86_64", patience_s: float = PATIENCE_S) -> str:
    """
    Blocks for as long as a guest runs, at most ``patience_s``.

    :param accelerator: ``kvm`` or ``tcg``
    :return: why not, in words; empty: it does
    """
    with tempfile.NamedTemporaryFile(prefix="cloudd-probe-") as firmware:
        firmware.write((b"\xf4" * _RESET_VECTOR + _CODE).ljust(_SIZE, b"\xf4"))
        firmware.flush()
        try:
            command = _command(accelerator, program, firmware.name)
            done = subprocess.run(command, capture_output=True, timeout=patience_s, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            return "a guest that was tried did nothing"
        except OSError as error:
            return f"{program} cannot be run: {error.strerror}"
    if done.returncode == _STATUS:
        return ""
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return words[-1] if words else f"QEMU ended with status {done.returncode}"


def _command(accelerator: str, program: str, firmware: str) -> list[str]:
    processor = ("-cpu", "host") if accelerator == "kvm" else ()
    return [
        program,
        *("-machine", "q35", "-accel", accelerator, "-m", "16", *processor),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-bios", firmware, "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"),
    ]
