# -*- test-case-name: tests.daemon.test_service -*-
"""``twistd cloudd``: its options and its service.  Nothing is opened before the service starts."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.application.service import IService
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from cloudd.interfaces.settings import default_state

from .settings import SettingsError, read_settings


class Options(BaseOptions):
    """The command line of ``twistd cloudd``."""

    synopsis = "[--config FILE] [--state DIR] [--api ENDPOINT] [--object ENDPOINT] [--s3 ENDPOINT]"
    longdesc = "A cloud in long-lived processes whose code is replaced while they run.  No option is needed."
    optParameters = [
        ["config", None, None, "settings, a TOML file (docs/settings.md)"],
        ["state", None, None, "folder for databases, objects, keys and logs"],
        ["api", None, None, "endpoint string of the OpenStack APIs, such as tcp:5000:interface=127.0.0.1"],
        ["object", None, None, "endpoint string of the Swift API; empty: off"],
        ["s3", None, None, "endpoint string of the S3 API; empty: off"],
    ]

    def postOptions(self) -> None:
        """Read and check the settings, so that twistd shows what is wrong with them as it does for options."""
        listen = {face: self[face] for face in ("api", "object", "s3") if self[face] is not None}
        try:
            self.settings = read_settings(
                Path(self["config"]).absolute() if self["config"] else None,
                Path(self["state"]).absolute() if self["state"] else None,
                default_state(os.environ, os.geteuid()),
                listen,
            )
        except SettingsError as error:
            raise UsageError(str(error)) from error


def makeService(options: Options) -> IService:
    """The anchor, not started."""
    from twisted.internet import reactor

    from ._anchor import Anchor

    return Anchor(options.settings, reactor, os.environ, _process_began())


def _process_began() -> float:
    """When this process was started, in seconds since the epoch: importing Python and Twisted counts as well."""
    with open("/proc/self/stat", encoding="ascii") as stat, open("/proc/uptime", encoding="ascii") as uptime:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        since_boot = float(uptime.read().split()[0])
    import time

    return time.time() - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))
