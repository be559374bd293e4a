"""The aws command line with its default checksums, and s3cmd, against a real daemon."""

from __future__ import annotations

import urllib.error
import urllib.request

from .walk import ClientWalk


class AwsWalk(ClientWalk):
    program = "aws"

    def aws(self, *words: str) -> str:
        return self.runs("aws", *words)

    def test_cp_sync_presign_multipart_rm(self) -> None:
        """The file commands, above and below the multipart threshold, with awkward names."""
        tree = self.tree("files")
        self.file("files/multi part.bin", 25_000_001)
        self.aws("s3", "mb", "s3://aws-walk")
        self.assertIn("aws-walk", self.aws("s3", "ls"))
        self.aws("s3", "cp", "--recursive", str(tree), "s3://aws-walk/top/")
        self.aws("s3", "cp", "--recursive", "s3://aws-walk/top/", str(self.folder / "back"))
        self.assert_same_tree(tree, self.folder / "back")
        self.file("files/plain.txt", 999)
        (tree / "with space.txt").unlink()
        self.aws("s3", "sync", "--delete", str(tree), "s3://aws-walk/top/")
        self.aws("s3", "sync", "--delete", "s3://aws-walk/top/", str(self.folder / "back"))
        self.assert_same_tree(tree, self.folder / "back")
        self.aws("s3", "cp", "s3://aws-walk/top/multi part.bin", "s3://aws-walk/copies/ü + copy.bin")
        self.aws("s3", "mv", "s3://aws-walk/copies/ü + copy.bin", str(self.folder / "moved.bin"))
        self.assert_same_file(tree / "multi part.bin", self.folder / "moved.bin")
        self.assertNotIn("copies", self.aws("s3", "ls", "s3://aws-walk/"))
        self.refused("aws", "s3", "rb", "s3://aws-walk")
        self.aws("s3", "rm", "--recursive", "s3://aws-walk")
        self.aws("s3", "rb", "s3://aws-walk")

    def test_presigned_url(self) -> None:
        """A presigned URL gives the bytes to anyone until it is changed."""
        self.aws("s3", "mb", "s3://aws-presign")
        source = self.file("a b.bin", 123_456)
        self.aws("s3", "cp", str(source), "s3://aws-presign/a b.bin")
        url = self.aws("s3", "presign", "s3://aws-presign/a b.bin", "--expires-in", "60").strip()
        with urllib.request.urlopen(url, timeout=30) as answer:
            self.assertEqual(answer.read(), source.read_bytes())
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url.replace("a%20b.bin", "other.bin"), timeout=30)
        self.assertEqual(caught.exception.code, 403)
        caught.exception.close()
        self.aws("s3", "rb", "--force", "s3://aws-presign")

    def test_subresources_that_are_not_set(self) -> None:
        """Each sub-resource answers S3's own "not set"."""
        self.aws("s3", "mb", "s3://aws-unset")
        for command, code in {
            "get-bucket-policy": "NoSuchBucketPolicy",
            "get-bucket-cors": "NoSuchCORSConfiguration",
            "get-bucket-website": "NoSuchWebsiteConfiguration",
            "get-bucket-lifecycle-configuration": "NoSuchLifecycleConfiguration",
            "get-bucket-replication": "ReplicationConfigurationNotFoundError",
            "get-bucket-encryption": "ServerSideEncryptionConfigurationNotFoundError",
            "get-object-lock-configuration": "ObjectLockConfigurationNotFoundError",
            "get-bucket-tagging": "NoSuchTagSet",
        }.items():
            self.assertIn(code, self.refused("aws", "s3api", command, "--bucket", "aws-unset"))
        for command in ("get-bucket-versioning", "get-bucket-logging", "get-bucket-accelerate-configuration"):
            self.aws("s3api", command, "--bucket", "aws-unset")
        self.assertIn("BucketOwner", self.aws("s3api", "get-bucket-request-payment", "--bucket", "aws-unset"))
        self.assertIn("FULL_CONTROL", self.aws("s3api", "get-bucket-acl", "--bucket", "aws-unset"))
        self.aws("s3", "rb", "s3://aws-unset")


class S3cmdWalk(ClientWalk):
    program = "s3cmd"

    def test_put_get_sync_delete(self) -> None:
        """s3cmd puts, gets, syncs, copies and deletes, multipart included."""
        host = self.cloud.url("s3").removeprefix("http://")
        (self.folder / "s3cfg").write_text(
            f"[default]\naccess_key = {self.environment['AWS_ACCESS_KEY_ID']}\n"
            f"secret_key = {self.environment['AWS_SECRET_ACCESS_KEY']}\n"
            f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
        )

        def s3cmd(*words: str) -> str:
            return self.runs("s3cmd", "-c", str(self.folder / "s3cfg"), "--no-progress", *words)

        tree = self.tree("files")
        self.file("files/multi part.bin", 20_000_003)
        s3cmd("mb", "s3://s3cmd-walk")
        s3cmd("sync", f"{tree}/", "s3://s3cmd-walk/top/")
        s3cmd("sync", "s3://s3cmd-walk/top/", f"{self.folder}/back/")
        self.assert_same_tree(tree, self.folder / "back")
        self.assertIn("plain.txt", s3cmd("ls", "-r", "s3://s3cmd-walk"))
        s3cmd("cp", "s3://s3cmd-walk/top/with space.txt", "s3://s3cmd-walk/copy +.txt")
        s3cmd("get", "s3://s3cmd-walk/copy +.txt", str(self.folder / "copy.txt"))
        self.assert_same_file(tree / "with space.txt", self.folder / "copy.txt")
        self.assertIn("1", s3cmd("info", "s3://s3cmd-walk/copy +.txt"))
        s3cmd("del", "--recursive", "--force", "s3://s3cmd-walk")
        s3cmd("rb", "s3://s3cmd-walk")
