"""Print ``source text`` of each datagram: ``python -m tests.net.listener PORT``."""

from __future__ import annotations

import socket
import sys


def main(port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", int(port)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            text, source = server.recvfrom(2048)
            sys.stdout.write(f"{source[0]} {text.decode()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
