# -*- test-case-name: tests.daemon.test_service -*-
"""``twistd cloudd``: its options and its service.  Nothing is opened before the service starts."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from twisted.application.service import IService
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from cloudd.interfaces.settings import Settings, default_state

from ._inheritance import Launch
from ._listening import AUTO, FACES, ListenError, parse_endpoint
from .settings import SettingsError, read_settings


class Options(BaseOptions):
    """The command line of ``twistd cloudd``."""

    synopsis = (
        "[--config FILE] [--state DIR] [--api ENDPOINT] [--object ENDPOINT] [--s3 ENDPOINT] [--metadata ENDPOINT]"
    )
    longdesc = "A cloud in long-lived processes whose code is replaced while they run.  No option is needed."
    optParameters = [
        ["config", None, None, "settings, a TOML file (docs/settings.md)"],
        ["state", None, None, "folder for databases, objects, keys and logs"],
        ["api", None, None, "endpoint string of the OpenStack APIs, such as tcp:5000:interface=127.0.0.1"],
        ["object", None, None, "endpoint string of the Swift API; empty: off"],
        ["s3", None, None, "endpoint string of the S3 API; empty: off"],
        ["metadata", None, None, "endpoint string of the metadata service of servers; empty: off; auto: if root"],
    ]

    def postOptions(self) -> None:
        """Read and check the settings, so that twistd shows what is wrong with them as it does for options."""
        # twistd changes its folder when it goes into the background
        self.config = Path(self["config"]).absolute() if self["config"] else None
        self.state = Path(self["state"]).absolute() if self["state"] else None
        try:
            self.settings = self.read()
        except SettingsError as error:
            raise UsageError(str(error)) from error
        self.launch = self._launch()

    def _launch(self) -> Launch:
        """How twistd was started; its own options are the parent's."""
        named = {"config": self.config, "state": self.state, **{face: self[face] for face in FACES}}
        arguments = tuple(f"--{name}={value}" for name, value in named.items() if value is not None)
        twistd = getattr(self, "parent", None)
        if twistd is None:
            return Launch(arguments)
        folder = Path(twistd["rundir"] or ".").absolute()
        pidfile, log_file = twistd["pidfile"], twistd["logfile"]
        if not log_file and not twistd["nodaemon"]:
            log_file = "twistd.log"
        return Launch(
            arguments,
            str(folder / pidfile) if pidfile else "",
            str(folder / log_file) if log_file and log_file != "-" else "",
        )

    def read(self) -> Settings:
        """
        The settings as the file and the command line say now.

        :raises SettingsError: something in them is not allowed
        """
        listen = {face: self[face] for face in FACES if self[face] is not None}
        settings = read_settings(self.config, self.state, default_state(os.environ, os.geteuid()), listen)
        for face in FACES:
            _check_endpoint(face, getattr(settings.listen, face))
        return settings


def makeService(options: Options) -> IService:
    """The anchor, not started."""
    from twisted.internet import reactor

    from ._anchor import Anchor

    return Anchor(options.settings, options.read, reactor, os.environ, process_began(os.environ), options.launch)


def _check_endpoint(face: str, text: str) -> None:
    try:
        if text and (face, text) != ("metadata", AUTO):
            parse_endpoint(face, text)
    except ListenError as error:
        raise SettingsError(f"listen.{face}", f"is {text!r}", error.cause) from error


def process_began(environment: Mapping[str, str]) -> float:
    """
    When twistd was started, in seconds since the epoch: importing Python and Twisted counts as well.

    :param environment: ``CLOUDD_STARTED`` says it where a script that became twistd did other things before
    """
    if "CLOUDD_STARTED" in environment:
        return float(environment["CLOUDD_STARTED"])
    with open("/proc/self/stat", encoding="ascii") as stat, open("/proc/uptime", encoding="ascii") as uptime:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        since_boot = float(uptime.read().split()[0])
    return time.time() - (since_boot - ticks / os.sysconf("SC_CLK_TCK"))
