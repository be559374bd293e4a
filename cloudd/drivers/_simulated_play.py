# -*- test-case-name: tests.drivers.test_simulated -*-
"""
What a simulated host is to suffer: slow calls and calls that fail, for tests and benches of what is above the driver.

``FOLDER/play.json`` holds it, so that a test plays on a daemon in another process too.  All of this blocks.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

import msgspec

from cloudd.interfaces.servers import DriverError, Unsupported

ANY: Final = "*"


class Failure(msgspec.Struct, kw_only=True, frozen=True):
    """
    Calls that fail.

    :ivar call: a method of ``IServerDriver``, or ``*``
    :ivar server: id of a server, or ``*``
    :ivar times: how many calls; then it is forgotten
    :ivar late: the call does what it should, and fails then, as when the answer is lost
    """

    call: str
    cause: str = "a fault that is played"
    next_step: str = "Try again"
    server: str = ANY
    times: int = 1
    late: bool = False
    unsupported: bool = False

    def error(self) -> DriverError:
        return (Unsupported if self.unsupported else DriverError)(self.cause, self.next_step)


class Play(msgspec.Struct, kw_only=True, frozen=True):
    """
    :ivar latency_s: by method, or ``*`` for those that are not named; 0 to 3,600
    """

    latency_s: dict[str, float] = {}
    failures: list[Failure] = []


def write_play(folder: Path, play: Play) -> None:
    """
    From the next call on, the host below ``folder`` suffers this; an empty one ends it.

    :raises ValueError: a latency is out of range
    """
    for call, seconds in play.latency_s.items():
        if not 0 <= seconds <= 3600:
            raise ValueError(f"latency_s[{call}] is {seconds}; take 0 to 3600 seconds")
    partial = _file(folder).with_suffix(".part")
    partial.write_bytes(msgspec.json.encode(play))
    partial.replace(_file(folder))


def next_turn(folder: Path, call: str, server_id: str) -> tuple[float, Failure | None]:
    """
    What one call suffers: how long it takes in seconds, and how it fails.

    The count of a failure goes down, whatever process makes the call.
    """
    try:
        play = _read(folder)
        if not play.failures:
            return _latency(play, call), None
        with _file(folder).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            play = _read(folder)
            return _latency(play, call), _take(folder, play, call, server_id)
    except FileNotFoundError:
        return 0.0, None
    except msgspec.MsgspecError as error:
        raise DriverError(f"{_file(folder)}: {error}", "Mend or delete it") from None


def _take(folder: Path, play: Play, call: str, server_id: str) -> Failure | None:
    for failure in play.failures:
        if failure.call in {ANY, call} and failure.server in {ANY, server_id}:
            left = [] if failure.times <= 1 else [msgspec.structs.replace(failure, times=failure.times - 1)]
            others = [other for other in play.failures if other is not failure]
            write_play(folder, msgspec.structs.replace(play, failures=left + others))
            return failure
    return None


def _latency(play: Play, call: str) -> float:
    return play.latency_s.get(call, play.latency_s.get(ANY, 0.0))


def _read(folder: Path) -> Play:
    return msgspec.json.decode(_file(folder).read_bytes(), type=Play)


def _file(folder: Path) -> Path:
    return folder / "play.json"
