# -*- test-case-name: tests.daemon.test_inheritance -*-
"""
What the anchor's exec starts: an anchor that goes on with what its former self left (``_inheritance``).

An upgrade imports it beforehand in a process of its own, which shows whether all is there that it needs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from twisted.internet import reactor as _reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.logfile import LogFile

from ._anchor import Anchor
from ._inheritance import Launch, keep_from_exec, take
from ._naming import name_process
from .service import Options

reactor: Any = _reactor


def prepare(descriptor: int, has_way_back: bool) -> Callable[[], None]:
    """
    Be the anchor.  Whatever raises here leads back to the old code.

    :param descriptor: of the memory file
    :param has_way_back: false: this is the old code again
    :return: runs the reactor to the daemon's end
    """
    name_process("anchor")
    inheritance = take(descriptor)
    if not has_way_back:
        inheritance.failure = "the new code's anchor did not start: see the daemon's log"
    options = Options()
    options.parseOptions(inheritance.arguments)
    launch = Launch(tuple(inheritance.arguments), inheritance.pidfile, inheritance.log_file)
    anchor = Anchor(options.settings, options.read, reactor, os.environ, inheritance.began, launch, inheritance)
    output: TextIO = LogFile.fromFullPath(launch.log_file) if launch.log_file else sys.stdout
    globalLogBeginner.beginLoggingTo([textFileLogObserver(output)], redirectStandardIO=False)
    anchor.startService()
    keep_from_exec(inheritance, descriptor)
    reactor.addSystemEventTrigger("before", "shutdown", anchor.stopService)
    if launch.pidfile:
        atexit.register(_remove_pidfile, Path(launch.pidfile))
    run: Callable[[], None] = reactor.run
    return run


def _remove_pidfile(pidfile: Path) -> None:
    """As twistd does at its end, if it is still ours."""
    with contextlib.suppress(OSError, ValueError):
        if int(pidfile.read_text()) == os.getpid():
            pidfile.unlink()
