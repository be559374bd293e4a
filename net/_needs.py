# -*- test-case-name: tests.net.test_host -*-
"""What a host has to have for a data plane."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from ._errors import NetError
from ._libnftables import load

_TUN: Final = Path("/dev/net/tun")


def find_dnsmasq() -> str | None:
    """The path of the program; a daemon's ``PATH`` may not have it."""
    return shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def what_is_missing() -> str:
    """The first thing that this machine lacks, with what to do about it; empty: it has all."""
    try:
        load()
    except NetError as error:
        return str(error)
    if not _TUN.exists():
        return f"{_TUN} is not there: load the module tun"
    if find_dnsmasq() is None:
        return "dnsmasq is not there: install the Debian package dnsmasq-base"
    return ""
