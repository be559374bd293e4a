"""python-swiftclient's ``swift`` against a real daemon, with Keystone and with TempAuth."""

from __future__ import annotations

from .walk import ClientWalk


class SwiftWalk(ClientWalk):
    program = "swift"

    def swift(self, *words: str) -> str:
        user, password = self.cloud.tenant()
        login = {
            "OS_CLOUD": "",
            "OS_AUTH_URL": self.cloud.url("api") + "/identity/v3",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": user,
            "OS_PASSWORD": password,
            "OS_PROJECT_NAME": "demo",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
        }
        return self.runs("swift", *words, environment=login)

    def test_upload_download_stat_list_delete(self) -> None:
        """A tree of awkward names goes up, is listed, comes back byte for byte and is removed."""
        tree = self.tree("files")
        names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
        for name in names:
            self.swift("upload", "swift-walk", str(tree / name), "--object-name", name)
        self.assertEqual(sorted(self.swift("list", "swift-walk").splitlines()), names)
        self.assertIn("Objects: 8", self.swift("stat", "swift-walk").replace("  ", ""))
        self.assertIn("Content Length: 1", self.swift("stat", "swift-walk", "with space.txt"))
        self.swift("download", "swift-walk", "--output-dir", str(self.folder / "back"))
        self.assert_same_tree(tree, self.folder / "back")
        self.swift("post", "swift-walk", "plain.txt", "--meta", "colour:green")
        self.assertIn("green", self.swift("stat", "swift-walk", "plain.txt"))
        self.swift("copy", "swift-walk", "plain.txt", "--destination", "/swift-walk/copied.txt")
        self.assertIn("copied.txt", self.swift("list", "swift-walk", "--prefix", "cop"))
        self.swift("delete", "swift-walk")
        self.assertNotIn("swift-walk", self.swift("list").splitlines())

    def test_tempauth(self) -> None:
        """Swift's own v1 log-in gives a storage URL and a token that work."""
        user, password = self.cloud.tenant()
        auth = ("-A", self.cloud.url("object") + "/auth/v1.0", "-U", f"demo:{user}", "-K", password)
        source = self.file("one.bin", 300_000)

        def swift(*words: str) -> None:
            self.runs("swift", *auth, *words, environment={"OS_CLOUD": ""})

        swift("upload", "tempauth-walk", str(source), "--object-name", "one.bin")
        swift("download", "tempauth-walk", "one.bin", "-o", "two.bin")
        self.assert_same_file(source, self.folder / "two.bin")
        swift("delete", "tempauth-walk")
        wrong = (*auth[:-1], "wrong")
        self.refused("swift", *wrong, "list", environment={"OS_CLOUD": ""})
