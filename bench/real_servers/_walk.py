"""What the steps of a walk share: one tenant, what it waits for, and what became of each step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._client import Client, Wrong

LOOK_AGAIN_S = 0.5


@dataclass
class Walk:
    """
    :ivar image_file: a small guest's disk, qcow2
    :ivar folder: for files of the walk
    :ivar patience_s: a guest that has not booted, or ended, by then never does
    :ivar public_key: of the pair that was made
    :ivar before: what the APIs listed before the first step
    :ivar steps: name and seconds of each that ended well
    """

    client: Client
    image_file: Path
    folder: Path
    patience_s: float
    public_key: str = ""
    before: Mapping[str, list[str]] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def step(self, name: str, do: Callable[[Walk], None]) -> None:
        """One that fails, with whatever error a client has, does not hide the others."""
        began = time.monotonic()
        try:
            do(self)
        except Exception as error:
            self.wrong.append(f"{name}: {type(error).__name__}: {str(error)[:2000]}")
            say(f"{name}: WRONG {type(error).__name__} {str(error)[:300]}")
        else:
            self.steps[name] = round(time.monotonic() - began, 1)
            say(f"{name}: {self.steps[name]} s")

    def is_now(self, server: str, status: str) -> None:
        def look() -> bool:
            shown = self.client.show(server)
            if shown.status == "ERROR" != status:
                raise Wrong(f"{server} is in ERROR: {shown.fault}")
            return shown.status == status and not shown.task

        until(look, f"{server} is {status}", self.patience_s)

    def says(self, server: str, words: str, times: int = 1) -> str:
        """The console, when it has these words so often."""

        def look() -> str:
            console = self.client.console(server)
            return console if console.count(words) >= times else ""

        try:
            return str(until(look, f"the console of {server} says {words!r} {times} times", self.patience_s))
        except Wrong as error:
            raise Wrong(f"{error}\n{self.client.console(server)[-1500:]}") from None

    def says_anew(self, server: str, words: str, do: Callable[[], None]) -> None:
        """Do that, and wait until the console has these words once more than before."""
        before = self.client.console(server).count(words)
        do()
        self.says(server, words, before + 1)


def until(condition: Callable[[], Any], what: str, patience_s: float) -> Any:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(LOOK_AGAIN_S)
    raise Wrong(f"in vain for {patience_s:.0f} s: {what}")


def need(found: object, wanted: object, what: str) -> None:
    """
    :raises Wrong: they are not the same
    """
    if found != wanted:
        raise Wrong(f"{what}: it is {found!r}, and should be {wanted!r}")


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
