"""
What TLS costs: our front before a worker of ours, beside nginx before the same worker, in the same run.

    python -m bench.tls [--seconds 4] [--connections 64] [--megabytes 400] [--idle 1500]

Both end TLS 1.3 with the same certificate (P-256) and pass plaintext to one worker with handlers on
``cloudd.protocols.http``: our front over socket pairs, nginx as a proxy that keeps its connections to it.  Counted is
the CPU time of the process that ends TLS and, beside it, that of the worker.  nginx also answers by itself (``nginx
alone``).

Prints one JSON object.  ``cpu_us`` is microseconds of CPU per request (``handshake``: per connection with one request),
``cpu_s_per_gb`` seconds per 10^9 bytes, ``kib_per_idle`` KiB of memory per idle connection (PSS), ``times_nginx`` the
ratio to nginx as a proxy.  Needs wrk, curl and nginx: ``apt-get install wrk curl nginx-light``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.http import DOCUMENT, cpu_seconds, load, wait_for
from bench.memory import children, pss_kib
from cloudd.tls_front import receive_message, send_message
from tests.ports import free_port
from tests.running_cloud import CHECKOUT
from tests.tls_front import certificates

STREAMS = 4
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream worker {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        default_type application/json;
        location = /return {{ return 200 '{document}'; }}
        location = /file {{ alias {folder}/large; }}
        location / {{
            proxy_pass http://worker;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


class Ended:
    """A process that ends TLS, and the worker behind it."""

    def __init__(self, pid: int, worker: int, url: str) -> None:
        self.pid, self.worker, self.url = pid, worker, url

    def cost(self, work: Callable[[], float]) -> tuple[float, float, float]:
        """CPU seconds of both for each unit that ``work`` says it did, and units per second."""
        before, worker_before, began = cpu_seconds(self.pid), cpu_seconds(self.worker), time.perf_counter()
        units = work()
        wall = time.perf_counter() - began
        return (
            (cpu_seconds(self.pid) - before) / units,
            (cpu_seconds(self.worker) - worker_before) / units,
            units / wall,
        )


def measure(ended: Ended, options: argparse.Namespace, path: str, large: str) -> dict[str, Any]:
    """All figures of one of them."""
    return {
        "request": _requests(ended, f"{ended.url}{path}", options, ()),
        "handshake": _requests(ended, f"{ended.url}{path}", options, ("Connection: close",)),
        "download": _bulk(ended, options, ["--output", "/dev/null"], large),
        "upload": _bulk(ended, options, ["--upload-file", str(options.file)], "/put") if path == "/" else {},
        "idle": _idle(ended, options),
    }


def _requests(ended: Ended, url: str, options: argparse.Namespace, headers: tuple[str, ...]) -> dict[str, Any]:
    load(url, options.connections, 1, headers)
    complaints: list[str] = []

    def work() -> float:
        requests, said = load(url, options.connections, options.seconds, headers)
        complaints.append(said)
        return max(1, requests)

    own, worker, rate = ended.cost(work)
    result: dict[str, Any] = {
        "cpu_us": round(own * 1e6, 1),
        "worker_cpu_us": round(worker * 1e6, 1),
        "per_s": round(rate),
    }
    return {**result, "complaints": complaints[0]} if complaints[0] else result


def _bulk(ended: Ended, options: argparse.Namespace, arguments: list[str], path: str) -> dict[str, Any]:
    command = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--header", "Expect:", *arguments]

    rounds = max(1, options.megabytes // 100 // STREAMS)

    def work() -> float:
        for _ in range(rounds):
            running = [subprocess.Popen([*command, f"{ended.url}{path}"]) for _ in range(STREAMS)]
            for each in running:
                if each.wait(120) != 0:
                    raise RuntimeError(f"curl failed: {command} {path}")
        return float(rounds * STREAMS * options.file.stat().st_size / 1e9)

    own, worker, rate = ended.cost(work)
    return {
        "cpu_s_per_gb": round(own, 3),
        "worker_cpu_s_per_gb": round(worker, 3),
        "gb_per_s": round(rate, 3),
    }


def _idle(ended: Ended, options: argparse.Namespace) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = int(ended.url.rpartition(":")[2])

    def open_all(count: int) -> list[ssl.SSLSocket]:
        return [context.wrap_socket(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]

    first = open_all(100)
    before = _memory(ended.pid)
    clients = open_all(options.idle)
    time.sleep(0.5)
    grown = _memory(ended.pid) - before
    spent = cpu_seconds(ended.pid)
    time.sleep(2)
    spent = cpu_seconds(ended.pid) - spent
    for client in [*first, *clients]:
        client.close()
    return {"kib_per_idle": round(grown / options.idle, 2), "cpu_s_in_2_s": round(spent, 3)}


def _memory(pid: int) -> int:
    return sum(pss_kib(each) for each in children(pid))


@contextmanager
def worker(folder: Path, channel: socket.socket) -> Iterator[tuple[int, int]]:
    """A worker on a TCP port and on a channel: its process id and port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.tls", "--worker", str(port), "--channel", str(channel.fileno())]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--file", str(folder / "large")], cwd=CHECKOUT, stderr=log, pass_fds=[channel.fileno()]
        )
    try:
        wait_for(port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def our_front(folder: Path, files: dict[str, str], channel: socket.socket) -> Iterator[tuple[int, str]]:
    """Our front, serving."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    command = [sys.executable, "-P", "-m", "cloudd.tls_front", str(folder), "bench", str(theirs.fileno())]
    process = subprocess.Popen(command, cwd=folder, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        message = {"call": "serve", "faces": [{"name": "bench", **files}]}
        send_message(ours, message, [listener.fileno(), channel.fileno()])
        answer, _descriptors = receive_message(ours)
        assert answer == {"problems": []}, answer
        yield process.pid, f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        process.terminate()
        process.wait(60)
        listener.close()
        ours.close()


@contextmanager
def nginx(folder: Path, files: dict[str, str], upstream: int) -> Iterator[tuple[int, str]]:
    """nginx, as a proxy and by itself."""
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        NGINX.format(
            folder=folder,
            port=port,
            upstream=upstream,
            document=DOCUMENT.decode(),
            key=files["private_key"],
            certificate=files["certificate"],
        )
    )
    process = subprocess.Popen(["nginx", "-c", str(settings), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield process.pid, f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """The whole run."""
    for program in ("wrk", "curl", "nginx"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing: apt-get install wrk curl nginx-light")
    folder = Path(tempfile.mkdtemp(prefix="cloudd-bench-"))
    folder.chmod(0o755)  # nginx's worker reads the file as another user
    options.file = folder / "large"
    options.file.write_bytes(os.urandom(1_000_000) * 100)
    key, certificate = certificates.write(folder, certificates.make())
    files = {"private_key": key, "certificate": certificate}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report: dict[str, Any] = {"openssl": ssl.OPENSSL_VERSION}
    try:
        with worker(folder, theirs) as (worker_pid, port):
            with our_front(folder, files, ours) as (pid, url):
                report["front"] = measure(Ended(pid, worker_pid, url), options, "/", "/large")
            with nginx(folder, files, port) as (pid, url):
                report["nginx"] = measure(Ended(pid, worker_pid, url), options, "/", "/large")
                report["nginx alone"] = measure(Ended(pid, worker_pid, url), options, "/return", "/file")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, figures in report["front"].items():
        unit = next(iter(figures))
        if report["nginx"][name][unit]:
            figures["times_nginx"] = round(figures[unit] / report["nginx"][name][unit], 2)
    return report


def work(options: argparse.Namespace) -> None:
    """The worker."""
    from cloudd.protocols.http import install_lean

    install_lean()
    from twisted.internet import reactor

    from cloudd.interfaces.settings import HTTPSettings
    from cloudd.protocols.http import HTTPServerFactory, Request, listen, listen_handed

    descriptor = os.open(options.file, os.O_RDONLY)
    size = os.fstat(descriptor).st_size

    class Forget:
        def write(self, _data: bytes) -> None:
            """Bytes of an upload."""

    async def large(request: Request) -> None:
        request.start(200, [], size)
        await request.send_file(descriptor, 0, size)
        request.finish()

    async def put(request: Request) -> None:
        await request.body.stream_to(Forget())
        request.respond(201)

    class Site:
        def handle(self, request: Request) -> Any:
            if request.path == b"/large":
                return large(request)
            if request.path == b"/put":
                return put(request)
            request.respond(200, [(b"Content-Type", b"application/json")], DOCUMENT)
            return None

        def finished(self, _request: Request) -> None:
            """No log."""

        def moved(self, _request: Request) -> None:
            """Nothing moves here."""

    limits = HTTPSettings(idle_timeout_s=3600)
    listener = socket.create_server(("127.0.0.1", options.worker), backlog=4096)
    site: Any = Site()
    listen(reactor, listener.fileno(), HTTPServerFactory(site, limits, "tcp", reactor))
    listen_handed(reactor, options.channel, HTTPServerFactory(site, limits, "tls", reactor))
    reactor.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each run with small requests")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=400, help="to be sent each way, in files of 100 MB")
    parser.add_argument("--idle", type=int, default=1500, help="idle connections")
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--channel", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
    else:
        print(json.dumps(compare(arguments), indent=2))
