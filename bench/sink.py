"""
Clients that get one address again and again and let the kernel throw the bytes away.

    python -m bench.sink CONNECTIONS URL [HEADER …]

Each connection asks eight times.  Prints how many bytes of bodies came.
"""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

TIMES = 8
CHUNK = 1_048_576


def get(host: str, port: int, head: bytes) -> int:
    """Bytes of the bodies that one connection got."""
    received, room = 0, bytearray(CHUNK)
    with socket.create_connection((host, port), 60) as client:
        for _ in range(TIMES):
            client.sendall(head)
            received += drop_answer(client, room)
    return received


def drop_answer(client: socket.socket, room: bytearray) -> int:
    """Length of the body of the next answer, which has a ``Content-Length``."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(1)  # no byte of the body
    lines = answer.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 200"), answer
    length = left = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while left:
        got = client.recv_into(room, min(left, CHUNK), socket.MSG_TRUNC)  # counted and freed, not copied: tcp(7)
        assert got, "the connection was closed"
        left -= got
    return length


def main(words: list[str]) -> None:
    count, url, headers = int(words[0]), urlsplit(words[1]), words[2:]
    fields = "".join(f"{header}\r\n" for header in headers)
    head = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n{fields}\r\n".encode()
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(get, url.hostname or "", url.port or 80, head) for _ in range(count)]
        print(sum(each.result() for each in asked))


if __name__ == "__main__":
    main(sys.argv[1:])
