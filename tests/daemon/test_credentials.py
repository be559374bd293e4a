"""``clouds.yaml`` and ``s3.env``."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._credentials import write_credentials
from cloudd.daemon._state_folder import StateFolder

LOGIN = {"admin_password": 'a"\\', "demo_password": "d: #", "ec2_access": "K", "ec2_secret": "S"}
URLS = {"api": "http://127.0.0.1:5000", "s3": "http://127.0.0.1:9000"}


class CredentialsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = StateFolder(Path(self.mktemp()))
        self.state.create()

    def test_first_log_in(self) -> None:
        """Both files are written, private, with values quoted."""
        written = write_credentials(self.state, URLS, LOGIN, "RegionOne")
        self.assertEqual(written, [str(self.state.clouds_file), str(self.state.s3_file)])
        clouds = self.state.clouds_file.read_text()
        self.assertIn('  cloudd:\n    auth:\n      auth_url: "http://127.0.0.1:5000/identity/v3"\n', clouds)
        self.assertIn('      password: "d: #"\n', clouds)
        self.assertIn("  cloudd-admin:\n", clouds)
        self.assertIn('      password: "a\\"\\\\"\n', clouds)
        environment = self.state.s3_file.read_text()
        self.assertIn(
            "AWS_ACCESS_KEY_ID=K\nAWS_SECRET_ACCESS_KEY=S\nAWS_ENDPOINT_URL=http://127.0.0.1:9000\n", environment
        )
        for file in (self.state.clouds_file, self.state.s3_file):
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual([path.name for path in self.state.path.iterdir() if path.name.startswith(".")], [])

    def test_later_starts(self) -> None:
        """Only URLs follow the settings; what an operator changed stays."""
        write_credentials(self.state, URLS, LOGIN, "RegionOne")
        edited = self.state.clouds_file.read_text().replace('password: "d: #"', 'password: "mine"')
        self.state.clouds_file.write_text(edited)
        written = write_credentials(self.state, {"api": "https://c", "s3": "https://s\\1"}, {}, "RegionOne")
        self.assertEqual(written, [])
        clouds = self.state.clouds_file.read_text()
        self.assertEqual(clouds.count('auth_url: "https://c/identity/v3"'), 2)
        self.assertIn('password: "mine"', clouds)
        self.assertIn("AWS_ENDPOINT_URL=https://s\\1\n", self.state.s3_file.read_text())

    def test_files_that_were_removed(self) -> None:
        """They are not made again: their passwords are known no more."""
        self.assertEqual(write_credentials(self.state, URLS, {}, "RegionOne"), [])
        self.assertFalse(self.state.clouds_file.exists())

    def test_faces_that_are_off(self) -> None:
        """Without a face its URL is empty."""
        write_credentials(self.state, {}, LOGIN, "RegionOne")
        self.assertIn('auth_url: ""', self.state.clouds_file.read_text())
        self.assertIn("AWS_ENDPOINT_URL=\n", self.state.s3_file.read_text())
