"""
CPU per request of our HTTP server and of a whole cloudd, beside nginx in the same run.

    python -m bench.http [--seconds 5] [--connections 64] [--no-daemon]

wrk (Debian package ``wrk``) asks over keep-alive connections; what is measured is the CPU time of the server's
processes, since wall time on a busy machine says little.  nginx runs with its access log on, so does cloudd; the bare
server (handlers on ``cloudd.protocols.http`` alone) has none.  ``PUT`` bodies are not measured here.

Prints one JSON object.  ``cpu_us`` is microseconds of CPU per request, ``cpu_s_per_gb`` seconds per 10^9 bytes of a
large file, ``times_nginx`` the ratio to nginx's ``return``, for files to the same file by nginx; the bars are 2.5 for
hot routes and files, 12 for a klein route, 1.1 for a large file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.memory import children
from bench.swap import log_in, put
from tests.ports import free_port
from tests.running_cloud import CHECKOUT, RunningCloud

DOCUMENT = b'{"version": "v3.14", "status": "stable", "a": 1}'
FILE_BYTES = 1_024
LARGE_BYTES = 104_857_600
LARGE_CONNECTIONS = 4
ROUTES = 60
AGAINST = {"file": "static file", "1 KiB object": "static file", "100 MiB object": "large file"}
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{port};
        default_type application/json;
        location = /return {{ return 200 '{document}'; }}
        location /file {{ root {folder}; }}
        location /large {{ root {folder}; }}
    }}
}}
"""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and everything below it."""
    ticks = 0
    for each in children(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nobody listens on port {port}")


def load(url: str, connections: int, seconds: float, headers: tuple[str, ...]) -> tuple[int, str]:
    """Requests that wrk got answered in ``seconds``, and what it complains of."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    for header in headers:
        command += ["-H", header]
    output = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", output)
    complaints = " ".join(re.findall(r"(?:Socket errors|Non-2xx).*", output))
    return int(found[1]) if found else 0, complaints


def measure(pid: int, url: str, options: argparse.Namespace, *headers: str) -> dict[str, Any]:
    """CPU per request of the server ``pid`` for ``url``."""
    load(url, options.connections, 1, headers)
    before, began = cpu_seconds(pid), time.perf_counter()
    requests, complaints = load(url, options.connections, options.seconds, headers)
    spent, wall = cpu_seconds(pid) - before, time.perf_counter() - began
    result: dict[str, Any] = {
        "requests_per_s": round(requests / wall),
        "cpu_us": round(spent / max(1, requests) * 1e6, 1),
    }
    if complaints:
        result["complaints"] = complaints
    return result


def measure_large(pid: int, url: str, *headers: str) -> dict[str, Any]:
    """
    CPU per GB of the server ``pid`` for the large file at ``url``.

    By a client that drops what it gets in the kernel: a slow one would make more, smaller sends of both servers.
    """
    command = [sys.executable, "-m", "bench.sink", str(LARGE_CONNECTIONS), url, *headers]
    before, began = cpu_seconds(pid), time.perf_counter()
    received = int(subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout)
    spent, wall = cpu_seconds(pid) - before, time.perf_counter() - began
    return {"gb_per_s": round(received / wall / 1e9, 2), "cpu_s_per_gb": round(spent / received * 1e9, 4)}


@contextmanager
def process(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """A server in the foreground, from the moment that it listens; its process id."""
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield server.pid
    finally:
        server.terminate()
        server.wait(20)


def measure_nginx(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, port=port, document=DOCUMENT.decode()))
    with process(["nginx", "-c", str(settings), "-p", str(folder)], port, folder) as pid:
        return {
            "return": measure(pid, f"http://127.0.0.1:{port}/return", options),
            "static file": measure(pid, f"http://127.0.0.1:{port}/file", options),
            "large file": measure_large(pid, f"http://127.0.0.1:{port}/large"),
        }


def measure_bare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, "-m", "bench.http", "--serve", str(port), "--file", str(folder / "file")]
    with process(command, port, folder) as pid:
        url = f"http://127.0.0.1:{port}"
        return {
            "function": measure(pid, f"{url}/function", options),
            "coroutine": measure(pid, f"{url}/coroutine", options),
            "file": measure(pid, f"{url}/file", options),
            "klein route": measure(pid, f"{url}/klein/r{ROUTES - 1}/abc", options),
        }


def measure_daemon(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud("[workers]\nfront = 1\n")
    try:
        cloud.start()
        token, account = log_in(cloud)
        put(cloud, f"{account}/bench", token, b"")
        put(cloud, f"{account}/bench/small", token, b"x" * FILE_BYTES)
        put(cloud, f"{account}/bench/large", token, b"x" * LARGE_BYTES)
        assert cloud.process is not None
        pid, auth, api = cloud.process.pid, f"X-Auth-Token: {token}", cloud.url("api")
        subject = f"X-Subject-Token: {token}"
        return {
            "token validation": measure(pid, f"{api}/identity/v3/auth/tokens", options, auth, subject),
            "klein route": measure(pid, f"{api}/identity/v3/auth/projects", options, auth),
            "klein route without token": measure(pid, f"{api}/identity/v3", options),
            "1 KiB object": measure(pid, f"{cloud.url('object')}{account}/bench/small", options, auth),
            "100 MiB object": measure_large(pid, f"{cloud.url('object')}{account}/bench/large", auth),
        }
    finally:
        cloud.remove()


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The whole run."""
    for program in ("wrk", "nginx"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing: apt-get install {program}")
    folder = Path(tempfile.mkdtemp(prefix="cloudd-bench-"))
    folder.chmod(0o755)  # nginx's worker reads the file as another user
    (folder / "file").write_bytes(b"x" * FILE_BYTES)
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    try:
        report = {"nginx": measure_nginx(options, folder), "bare": measure_bare(options, folder)}
        if options.daemon:
            report["cloudd"] = measure_daemon(options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for server in ("bare", "cloudd"):
        for name, result in report.get(server, {}).items():
            against = AGAINST.get(name, "return")
            unit = "cpu_s_per_gb" if against == "large file" else "cpu_us"
            result["times_nginx"] = round(result[unit] / report["nginx"][against][unit], 2)
    return report


def serve(port: int, path: str) -> None:
    """The bare server."""
    from cloudd.protocols.http import install_lean

    install_lean()
    from klein import Klein
    from twisted.internet import reactor

    from cloudd.interfaces.settings import HTTPSettings
    from cloudd.protocols.http import HTTPServerFactory, KleinApp, Request, listen

    json_type = (b"Content-Type", b"application/json")
    app = Klein()

    async def route(request: Request, **_: str) -> None:
        request.respond(200, [json_type], DOCUMENT)

    for number in range(ROUTES):
        rule = f"/klein/r{number}/<name>"
        app.route(rule, methods=["GET"], endpoint=rule, strict_slashes=False, merge_slashes=False)(route)
    klein = KleinApp(app)
    descriptor = os.open(path, os.O_RDONLY)

    async def coroutine(request: Request) -> None:
        request.respond(200, [json_type], DOCUMENT)

    async def file(request: Request) -> None:
        request.start(200, [json_type], FILE_BYTES)
        await request.send_file(descriptor, 0, FILE_BYTES)
        request.finish()

    class BareSite:
        def handle(self, request: Request) -> Any:
            if request.path == b"/function":
                request.respond(200, [json_type], DOCUMENT)
                return None
            answer: Any = {b"/coroutine": coroutine, b"/file": file}.get(request.path, klein)
            return answer(request)

        def finished(self, request: Request) -> None:
            """No log."""

        def moved(self, request: Request) -> None:
            """Nothing is kept."""

    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    listen(reactor, listener.fileno(), HTTPServerFactory(BareSite(), HTTPSettings(), "api", reactor))
    reactor.run()


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each address is asked")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--no-daemon", dest="daemon", action="store_false", help="leave the whole cloudd out")
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the bare server (used by the run itself)")
    parser.add_argument("--file", help="what the bare server sends")
    return parser.parse_args(words)


if __name__ == "__main__":
    chosen = arguments()
    if chosen.serve:
        serve(chosen.serve, chosen.file)
    else:
        print(json.dumps(compare(chosen), indent=2))
