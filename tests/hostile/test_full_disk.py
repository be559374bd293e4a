"""A daemon whose disk is full: writes are refused in each API's words, reads go on, nothing earlier is harmed."""

from __future__ import annotations

import os
import subprocess
import time

from twisted.trial.unittest import SkipTest

from tests.running_cloud import RunningCloud

from .siege import Siege, api, eventually
from .wire import Answer, Wire, ask, head

MIB = 1_048_576
SPARE = 40 * MIB


class SmallDisk(RunningCloud):
    """The state folder lies on a file system of its own."""

    def __init__(self) -> None:
        super().__init__(f"[objects]\nreserve_bytes = {4 * MIB}\n")
        self.mount = self.folder / "mount"
        self.mount.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SPARE}", "none", str(self.mount)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            self.remove_folder()
            raise SkipTest("mounting a small tmpfs needs root")
        self.state = self.mount / "state"

    def fill(self, leave: int) -> None:
        """Use all of the disk but ``leave`` bytes."""
        filler = self.mount / "filler"
        room = os.statvfs(self.mount)
        free = room.f_bavail * room.f_frsize - leave
        with filler.open("ab") as file:
            while free > 0:
                try:
                    free -= os.write(file.fileno(), bytes(min(free, MIB)))
                except OSError:
                    break

    def empty(self) -> None:
        """The disk has room again."""
        (self.mount / "filler").unlink(missing_ok=True)

    def remove_folder(self) -> None:
        super().remove()

    def remove(self) -> None:
        self.stop()
        subprocess.run(["umount", "-l", str(self.mount)], check=False)
        super().remove()


class FullDisk(Siege):
    def make_cloud(self) -> RunningCloud:
        cloud = SmallDisk()
        self.made: list[str] = []
        try:
            cloud.start()
        except BaseException:
            cloud.remove()
            raise
        return cloud

    def tearDown(self) -> None:
        try:
            super().tearDown()
        finally:
            self.cloud.remove()

    def healthy(self) -> int:
        time.sleep(0.2)
        return ask(self.cloud.ports["api"], "GET", "/health").status

    def test_full_disk(self) -> None:
        """Below the reserve uploads get 507, at no byte at all changes get a 5xx; then all goes on as before."""
        cloud = self.cloud
        assert isinstance(cloud, SmallDisk)
        with self.container(self.demo, o=b"first" * 20_000) as box:
            upload = self.demo.s3("POST", f"/{box}/big?uploads").text
            upload = upload.partition("<UploadId>")[2].partition("<")[0]
            # Above the reserve.
            self.check_s3(self.demo.s3("PUT", f"/{box}/n", b"x" * SPARE), 507, "InsufficientStorage")
            self.check_swift(self.demo.swift("PUT", f"/{box}/n", b"x" * SPARE), 507)
            # On the way.
            self.check_swift(self.upload_without_length(f"/{box}/n"), 507)
            cloud.fill(leave=3 * MIB)
            time.sleep(1.1)  # how old the figure of free space may be
            # Below the reserve.
            self.check_swift(self.demo.swift("PUT", f"/{box}/o", b"second"), 507)
            self.check_s3(self.demo.s3("PUT", f"/{box}/o", b"second"), 507, "InsufficientStorage")
            part = self.demo.s3("PUT", f"/{box}/big?partNumber=1&uploadId={upload}", b"x")
            self.check_s3(part, 507, "InsufficientStorage")
            health = ask(cloud.ports["api"], "GET", "/health")
            self.assertEqual(health.status, 503)
            self.assertIn("reserve", health.text)
            cloud.fill(leave=0)
            # No byte left.
            self.no_byte_left(box)
            cloud.empty()
            for user in self.made:
                self.admin.api("DELETE", f"/users/{user}", status=204)
            for container in self.demo.swift("GET", "").text.splitlines():
                self.assertIn(self.demo.swift("DELETE", f"/{container}").status, (204, 409))
            self.assertEqual(eventually(self.healthy, 200), 200)
            time.sleep(1.1)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"first" * 20_000)
            self.assertEqual(self.demo.swift("PUT", f"/{box}/o", b"second").status, 201)
            self.assertEqual(self.demo.s3("DELETE", f"/{box}/big?uploadId={upload}").status, 204)
            name = f"later-{time.time_ns()}"
            made = self.admin.api("POST", "/users", {"user": {"name": name, "domain_id": "default"}}, 201)
            self.admin.api("DELETE", f"/users/{made.json()['user']['id']}", status=204)

    def no_byte_left(self, box: str) -> None:
        """Reads go on; whatever writes ends soon and says that it did not."""
        refused = 0
        for number in range(40):
            began = time.monotonic()
            user = {"name": f"full-{number}", "domain_id": "default", "description": "x" * 4000}
            answer = api(self.cloud, self.admin.token, "POST", "/users", {"user": user})
            self.assertLess(time.monotonic() - began, 5)
            if answer.status != 201:
                refused += 1
                self.assertIn(answer.status, (503, 507), answer.text)
                self.check_fault(answer, answer.status)
            else:
                self.made.append(answer.json()["user"]["id"])
        if self.cloud.database.url:
            self.assertEqual(refused, 0, "the control database is on a server with room")
        else:
            self.assertGreater(refused, 0, "the disk was not full")
        for number in range(10):
            answer = self.demo.swift("PUT", f"/{box}-{number}", X_Container_Meta_A="x" * 200)
            self.assertIn(answer.status, (201, 507), answer.text)
            metadata = {f"X-Object-Meta-{n}": "x" * 200 for n in range(15)}
            answer = self.demo.swift("POST", f"/{box}/o", None, **metadata)
            self.assertIn(answer.status, (202, 507), answer.text)
            self.check_s3(self.demo.s3("PUT", f"/{box}/n", b"x" * 100), 507, "InsufficientStorage")
        for _ in range(5):
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"first" * 20_000)
            self.assertEqual(self.demo.s3("GET", f"/{box}/o").status, 200)
            self.assertEqual(self.demo.swift("GET", f"/{box}").text, "o\n")
            self.assertEqual(self.admin.api("GET", "/users").status, 200)
        self.demo.log_in()

    def upload_without_length(self, path: str) -> Answer:
        """A chunked upload that goes on until it is refused."""
        port, fields = self.cloud.ports["object"], {"X-Auth-Token": self.demo.token, "Transfer-Encoding": "chunked"}
        with Wire(port) as wire:
            wire.send(head("PUT", f"/v1/{self.demo.account}{path}", fields, port=port))
            try:
                for _ in range(2 * SPARE // MIB):
                    wire.send(b"%x\r\n%s\r\n" % (MIB, bytes(MIB)))
            except OSError:
                pass  # it was refused meanwhile
            return wire.answer("PUT")
