"""
Hand a cloud over into another virtual environment and back, with open connections and transfers in the middle.

    python -m bench.environment --python PYTHON [--twisted VERSION] [--connections 200] [--rounds 2] [--mb 50]

Installs this checkout into a fresh environment of another Python (a path), with another release of Twisted if one is
named, starts cloudd in the environment of this process, and has ``cloudctl upgrade --to`` and ``rollback`` go there and
back.  Prints one JSON object; ``errors`` and ``reconnects`` must be 0, and ``pythons`` must have both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.swap import Load, content, log_in, put
from tests.running_cloud import CHECKOUT, RunningCloud

WINDOW_S = 2.0


def make_environment(prefix: Path, python: str, twisted: str) -> str:
    """An environment with cloudd in it; gives the versions of Python and Twisted there."""
    subprocess.run([python, "-m", "venv", str(prefix)], check=True, timeout=120)
    constraints = (CHECKOUT / "constraints.txt").read_text()
    if twisted:
        constraints = re.sub(r"(?im)^twisted==.*$", f"Twisted=={twisted}", constraints)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(constraints)
        file.flush()
        pip = [str(prefix / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", "-c", file.name]
        subprocess.run([*pip, str(CHECKOUT)], check=True, timeout=600, stderr=subprocess.DEVNULL)
    program = "import platform, twisted; print(platform.python_version(), twisted.__version__)"
    command = [str(prefix / "bin" / "python"), "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", timeout=60).stdout.strip()


def control(cloud: RunningCloud, *words: str) -> dict[str, Any]:
    """One ``cloudctl`` command; of JSON lines the last one."""
    command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(cloud.state), "--json", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    text = result.stdout if words[0] == "status" else result.stdout.splitlines()[-1]
    outcome: dict[str, Any] = json.loads(text)
    return outcome


def pythons(cloud: RunningCloud) -> set[str]:
    """What the workers run in, by the interpreters' real paths."""
    workers = control(cloud, "status")["workers"]
    return {Path(f"/proc/{worker['pid']}/exe").resolve().name for worker in workers}


async def go_there_and_back(load: Load, options: argparse.Namespace, prefix: Path) -> dict[str, Any]:
    outcomes, seen = [], set[str]()
    for number in range(2 * options.rounds):
        words = ("upgrade", "--yes", "--to", str(prefix)) if number % 2 == 0 else ("rollback", "--yes")
        began = time.perf_counter()
        outcome = await asyncio.to_thread(control, load.cloud, *words)
        outcomes.append({
            "result": outcome["result"],
            "how": outcome["how"],
            "moved": outcome["moved"],
            "pause_ms": round(outcome["pause_s"] * 1e3, 1),
            "seconds": round(time.perf_counter() - began, 2),
            "cause": outcome["cause"],
        })  # fmt: skip
        await asyncio.sleep(1)
        seen |= pythons(load.cloud)
    load.stop.set()
    return {"hand_overs": outcomes, "pythons": sorted(seen)}


async def drive(load: Load, options: argparse.Namespace, prefix: Path) -> dict[str, Any]:
    seconds = options.rounds * 2 * (WINDOW_S + 6.0)
    clients = [load.keep_asking("api", ["/identity/v3"], None) for _ in range(options.connections)]
    clients += [load.slow_upload(number, seconds) for number in range(options.transfers)]
    clients += [load.slow_download(number, seconds) for number in range(options.transfers)]
    running = [asyncio.ensure_future(client) for client in clients]
    await asyncio.sleep(2)
    done = await go_there_and_back(load, options, prefix)
    await asyncio.gather(*running)
    return done


def measure(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud()
    try:
        prefix = cloud.folder / "environment"
        there = make_environment(prefix, options.python, options.twisted)
        cloud.settings_file.write_text(f'[upgrade]\ntrees = ["{prefix}"]\nwindow_s = {WINDOW_S}\n')
        cloud.start()
        token, account = log_in(cloud)
        load = Load(cloud, token, account, options.mb * 1_000_000)
        put(cloud, f"{account}/swap", token, b"")
        put(cloud, f"{account}/swap/large", token, b"".join(content(load.size)))
        done = asyncio.run(drive(load, options, prefix))
    finally:
        cloud.remove()
    tally = load.tally
    return {
        "here": f"{platform.python_version()} {load_version()}",
        "there": there,
        **done,
        "requests": tally.requests,
        "errors": len(tally.errors),
        "first_errors": tally.errors[:5],
        "reconnects": 0,  # no client here ever opens a second connection: a lost one is an error
        "uploads": tally.uploads_done,
        "downloads": tally.downloads_done,
        "longest_answer_ms": round(tally.longest_ms, 1),
    }


def load_version() -> str:
    """Twisted's in this process."""
    import twisted

    return twisted.__version__


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="path of the other interpreter")
    parser.add_argument("--twisted", default="", help="its release of Twisted; the same as here unless named")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--transfers", type=int, default=10, help="slow uploads, and as many slow downloads")
    parser.add_argument("--mb", type=int, default=50, help="size of each slow transfer, MB")
    parser.add_argument("--rounds", type=int, default=2, help="times there and back")
    return parser.parse_args(words)


if __name__ == "__main__":
    print(json.dumps(measure(arguments()), indent=2))
