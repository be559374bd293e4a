"""rclone against a real daemon: one walk, through its swift and its s3 remote."""

from __future__ import annotations

import os

from .walk import ClientWalk

LARGE_BYTES = 200_000_000


class RcloneWalk(ClientWalk):
    program = "rclone"

    def rclone(self, *words: str) -> str:
        return self.runs("rclone", "--config", str(self.folder / "rclone.conf"), "--retries", "1", *words)

    def walk(self, bucket: str, remote: str) -> None:
        """Files from 0 B to 200 MB with awkward names survive copy, check, sync, moveto and purge."""
        (self.folder / "rclone.conf").write_text(f"[walk]\n{remote}")
        tree = self.tree("files")
        self.file("files/large.bin", LARGE_BYTES)
        base = f"walk:{bucket}"
        self.rclone("mkdir", base)
        self.rclone("copy", str(tree), base)
        self.rclone("check", str(tree), base)
        self.rclone("check", "--download", str(tree), base)
        self.rclone("copy", base, str(self.folder / "back"))
        self.assert_same_tree(tree, self.folder / "back")
        (tree / "plain.txt").unlink()
        self.file("files/new file.txt", 77)
        self.file("files/with space.txt", 4321)
        self.rclone("sync", str(tree), base)
        self.rclone("check", "--download", str(tree), base)
        self.rclone("moveto", f"{base}/large.bin", f"{base}/moved/lärge + 1.bin")
        self.assertNotIn("large.bin", self.rclone("lsf", base).splitlines())
        self.rclone("copyto", f"{base}/moved/lärge + 1.bin", str(self.folder / "large again.bin"))
        self.assert_same_file(tree / "large.bin", self.folder / "large again.bin")
        self.assertIn("moved/lärge + 1.bin", self.rclone("lsf", "-R", base).splitlines())
        self.rclone("purge", base)
        self.assertNotIn(f"{bucket}/", self.rclone("lsf", "walk:").splitlines())


class RcloneSwift(RcloneWalk):
    def test_walk_with_a_token(self) -> None:
        """The swift remote with a storage URL and a token."""
        issued = self.runs("openstack", "token", "issue", "-f", "value", "-c", "id", "-c", "project_id")
        token, project = sorted(issued.split(), key=len, reverse=True)
        url = f"{self.cloud.url('object')}/v1/AUTH_{project}"
        self.walk("rclone-swift", f"type = swift\nauth_token = {token}\nstorage_url = {url}\n")

    def test_log_in_by_application_credential(self) -> None:
        """rclone's own Keystone v3 log-in finds the object store in the catalog."""
        columns = ("-f", "value", "-c", "id", "-c", "secret")
        name = f"rclone-walk-{os.urandom(4).hex()}"  # the walk may be made again on the same cloud
        made = self.runs("openstack", "application", "credential", "create", name, *columns)
        identifier, secret = sorted(made.split(), key=len)
        (self.folder / "rclone.conf").write_text(
            f"[walk]\ntype = swift\nauth = {self.cloud.url('api')}/identity/v3\nauth_version = 3\n"
            f"application_credential_id = {identifier}\napplication_credential_secret = {secret}\n"
        )
        source = self.file("small.bin", 4096)
        self.rclone("copyto", str(source), "walk:rclone-login/small.bin")
        self.assertEqual(self.rclone("lsf", "walk:rclone-login"), "small.bin\n")
        self.rclone("purge", "walk:rclone-login")


class RcloneS3(RcloneWalk):
    def test_walk(self) -> None:
        """The s3 remote, provider Other, path style."""
        self.walk(
            "rclone-s3",
            "type = s3\nprovider = Other\nforce_path_style = true\n"
            f"endpoint = {self.cloud.url('s3')}\n"
            f"access_key_id = {self.environment['AWS_ACCESS_KEY_ID']}\n"
            f"secret_access_key = {self.environment['AWS_SECRET_ACCESS_KEY']}\n",
        )
