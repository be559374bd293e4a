"""
A metadata service of one server, to be run in a namespace of its own: ``python -m tests.script.metadata_house``.

It says ``ready`` when it listens at 169.254.169.254, port 80.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnopqrstuvwxyz someone@somewhere"
ANSWERS = {
    "/openstack/latest/meta_data.json": json.dumps(
        {"uuid": "u-1", "hostname": "first.example", "name": "first", "public_keys": {"mine": f"{KEY}\n"}}
    ),
    "/openstack/latest/user_data": "#!/bin/sh\necho I am $(hostname)\nexit 7\n",
}


class MetadataHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path)
        self.send_response(200 if answer is not None else 404)
        self.end_headers()
        self.wfile.write((answer or "").encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is the base class's)
        """Nobody reads it."""


if __name__ == "__main__":
    server = HTTPServer(("169.254.169.254", 80), MetadataHandler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()
