"""
nginx's binary upgrade (USR2, then QUIT of the old master) under the load of ``bench.clients``.

nginx (Debian package ``nginx-light``: ``script/setup bench``) runs from a private folder, on a private port.  A new
process takes the listening socket over; the old one closes idle keep-alive connections and ends.  Its clients may open
a lost connection again, at once: what they lose is counted.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import kill
from pathlib import Path

from bench.clients import Window
from tests.ports import free_port

SETTINGS = """
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type text/plain;
        location / {{ return 200 'OK'; }}
    }}
}}
"""
PATIENCE_S = 90.0


class Nginx:
    """One nginx, from ``running`` to its end."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.port = free_port()
        self.windows: list[Window] = []
        settings = folder / "nginx.conf"
        settings.write_text(SETTINGS.format(folder=folder, port=self.port, workers=workers))
        subprocess.run([find(), "-p", str(folder), "-c", str(settings)], check=True, timeout=30)
        self.wait(lambda: self.pid() > 0)

    def pid(self, name: str = "nginx.pid") -> int:
        """The master's; 0 while there is none."""
        try:
            return int((self.folder / name).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def wait(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "error.log").read_text()[-2000:])
            time.sleep(0.01)

    def upgrade(self) -> None:
        """One binary upgrade, as nginx's manual has it."""
        old, begin = self.pid(), time.monotonic()
        kill(old, signal.SIGUSR2)
        self.wait(lambda: self.pid() not in {0, old} and self.pid("nginx.pid.oldbin") == old)
        time.sleep(0.2)  # until its workers accept
        kill(old, signal.SIGQUIT)
        self.wait(lambda: self.pid("nginx.pid.oldbin") == 0)
        self.windows.append(Window("nginx", begin, time.monotonic()))

    def stop(self) -> None:
        for name in ("nginx.pid.oldbin", "nginx.pid"):
            found = self.pid(name)
            if found:
                try:
                    kill(found, signal.SIGTERM)
                except ProcessLookupError:
                    continue
        self.wait(lambda: self.pid() == 0)


def find() -> str:
    """
    The program.

    :raises FileNotFoundError: it is not installed
    """
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        raise FileNotFoundError("nginx is not installed: run script/setup bench as root, or give --no-nginx")
    return found


@contextmanager
def running(workers: int = 2) -> Iterator[Nginx]:
    folder = Path(tempfile.mkdtemp(prefix="cloudd-nginx-"))
    try:
        nginx = Nginx(folder, workers)
        try:
            yield nginx
        finally:
            nginx.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
