"""Everything around the routes: log-in, tokens, paths, methods, features that are not here."""

from __future__ import annotations

import json

from .face import ADMIN, ALICE, BOB, READER, FaceCase


class UnversionedTests(FaceCase):
    async def test_healthcheck(self) -> None:
        """Swift's health check says OK to anybody."""
        answer = await self.ask("GET", "/healthcheck", token=None)
        self.assertEqual((answer.status, answer.body), (200, b"OK"))

    async def test_info(self) -> None:
        """Capabilities are public, also below a prefix; HEAD has no body."""
        for path in ("/info", "/swift/info", "/object-store/swift/info"):
            answer = await self.ask("GET", path, token=None)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.header("content-type"), "application/json; charset=UTF-8")
            self.assertEqual(json.loads(answer.body)["swift"]["max_file_size"], self.max_object_bytes)
        self.assertEqual((await self.ask("HEAD", "/info", token=None)).body, b"")
        self.assertEqual((await self.ask("POST", "/info", token=None)).status, 405)

    async def test_other_paths(self) -> None:
        """Paths of no account are refused as Swift's proxy refuses them."""
        for path, status in (("/", 404), ("/v1", 412), ("/v3/AUTH_x", 400), ("/v1/AUTH_x/%ff", 412)):
            self.assertEqual((await self.ask("GET", path, token=None)).status, status, path)

    async def test_ids(self) -> None:
        """Every answer names its transaction."""
        answer = await self.ask("HEAD", self.account)
        self.assertTrue(answer.header("x-openstack-request-id"))
        self.assertEqual(answer.header("x-trans-id"), answer.header("x-openstack-request-id"))


class TempAuthTests(FaceCase):
    async def test_log_in(self) -> None:
        """User and key give a token and the account's URL, with either pair of headers."""
        for user, key in (("x-storage-user", "x-storage-pass"), ("x-auth-user", "x-auth-key")):
            headers = {user: "demo:alice", key: "secret"}
            answer = await self.ask("GET", "/auth/v1.0", headers, token=None)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.header("x-storage-url"), "http://object.test/v1/AUTH_p1")
            self.assertEqual(answer.header("x-auth-token"), answer.header("x-storage-token"))
            self.assertEqual(answer.header("x-auth-token-expires"), "3600")
            self.assertEqual((await self.ask("HEAD", self.account, token=answer.header("x-auth-token"))).status, 204)

    async def test_refused(self) -> None:
        """A wrong key, an unknown user and a missing header look the same."""
        attempts: list[dict[str, str | bytes]] = [
            {"x-auth-user": "demo:alice", "x-auth-key": "wrong"},
            {"x-auth-user": "demo:nobody", "x-auth-key": "secret"},
            {"x-auth-user": "demo:alice"},
            {"x-auth-key": "secret"},
            {"x-auth-user": b"demo:\xff", "x-auth-key": "secret"},
        ]
        for headers in attempts:
            answer = await self.ask("GET", "/auth/v1.0", headers, token=None)
            self.assertEqual(answer.status, 401, headers)
            self.assertEqual(answer.header("www-authenticate"), 'Swift realm="unknown"')
        self.assertEqual((await self.ask("POST", "/auth/v1.0", token=None)).status, 405)

    async def test_identity_down(self) -> None:
        """When nobody can be checked, the client is asked to come again."""
        self.identity.down = True
        headers = {"x-auth-user": "demo:alice", "x-auth-key": "secret"}
        self.assertEqual((await self.ask("GET", "/auth/v1.0", headers, token=None)).status, 503)
        self.assertEqual((await self.ask("HEAD", self.account, token="uncached")).status, 503)


class AccessTests(FaceCase):
    async def test_no_token(self) -> None:
        """Without a token: 401, naming the account as realm, before anything is said about what is there."""
        for path in (self.account, f"{self.account}/c", f"{self.account}/c/o"):
            answer = await self.ask("GET", path, token=None)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.header("www-authenticate"), 'Swift realm="AUTH_p1"')

    async def test_bad_token(self) -> None:
        """A token that is not valid is refused with the cause, and lets nobody in."""
        answer = await self.ask("GET", self.account, token="expired")
        self.assertEqual(answer.status, 401)
        self.assertIn(b"the token has expired", answer.body)

    async def test_storage_token(self) -> None:
        """The older header carries a token as well."""
        answer = await self.ask("HEAD", self.account, {"x-storage-token": ALICE}, token=None)
        self.assertEqual(answer.status, 204)

    async def test_foreign_account(self) -> None:
        """Another project's account is forbidden, existing or not; an administrator may."""
        await self.put_container("c")
        for path in (self.account, f"{self.account}/c", f"{self.account}/none", f"{self.account}/c/o"):
            self.assertEqual((await self.ask("GET", path, token=BOB)).status, 403)
        self.assertEqual((await self.ask("GET", f"{self.account}/c", token=ADMIN)).status, 204)

    async def test_reader(self) -> None:
        """Role reader reads and writes nothing."""
        await self.put_object("c", "o", b"data")
        self.assertEqual((await self.ask("GET", f"{self.account}/c/o", token=READER)).body, b"data")
        for method, path in (
            ("PUT", "/c2"),
            ("POST", "/c"),
            ("POST", ""),
            ("DELETE", "/c/o"),
            ("PUT", "/c/o"),
            ("POST", "/c/o"),
        ):
            answer = await self.ask(method, self.account + path, {"content-length": "0"}, token=READER)
            self.assertEqual(answer.status, 403, (method, path))
        self.assertEqual((await self.ask("GET", f"{self.account}/c/o")).body, b"data")

    async def test_public_container(self) -> None:
        """``.r:*`` lets anybody read, with ``.rlistings`` list, and never write; ACLs stay hidden from them."""
        await self.put_object("c", "o", b"data")
        path = f"{self.account}/c"
        await self.ask("POST", path, {"x-container-read": ".r:*"})
        self.assertEqual((await self.ask("GET", f"{path}/o", token=None)).body, b"data")
        self.assertEqual((await self.ask("GET", f"{path}/o", token="expired")).body, b"data")
        self.assertEqual((await self.ask("GET", path, token=None)).status, 401)
        await self.ask("POST", path, {"x-container-read": ".r:*,.rlistings"})
        listing = await self.ask("GET", path, token=None)
        self.assertEqual(listing.body, b"o\n")
        self.assertNotIn("x-container-read", listing.headers)
        self.assertEqual((await self.ask("HEAD", path)).header("x-container-read"), ".r:*,.rlistings")
        self.assertEqual((await self.ask("PUT", f"{path}/p", body=b"x", token=None)).status, 401)
        self.assertEqual((await self.ask("DELETE", f"{path}/o", token=None)).status, 401)

    async def test_referrer(self) -> None:
        """An ACL for one host's pages lets no others in."""
        await self.put_object("c", "o", b"data")
        await self.ask("POST", f"{self.account}/c", {"x-container-read": ".r:.example.com"})
        right = {"referer": "http://www.example.com/page"}
        self.assertEqual((await self.ask("GET", f"{self.account}/c/o", right, token=None)).status, 200)
        wrong = {"referer": "http://example.com.evil.test/"}
        self.assertEqual((await self.ask("GET", f"{self.account}/c/o", wrong, token=None)).status, 401)

    async def test_shared_with_a_user(self) -> None:
        """A write ACL lets one user of another project write objects, and nothing else."""
        await self.put_container("c")
        await self.ask("POST", f"{self.account}/c", {"x-container-write": "p2:bob-id"})
        self.assertEqual((await self.ask("PUT", f"{self.account}/c/o", body=b"x", token=BOB)).status, 201)
        self.assertEqual((await self.ask("GET", f"{self.account}/c/o", token=BOB)).status, 403)
        self.assertEqual((await self.ask("POST", f"{self.account}/c", token=BOB)).status, 403)


class MethodTests(FaceCase):
    async def test_options(self) -> None:
        """OPTIONS says what there is without a log-in, and lets no foreign origin in."""
        answer = await self.ask("OPTIONS", f"{self.account}/c/o", token=None)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.header("allow"), "GET, HEAD, PUT, POST, DELETE, COPY, OPTIONS")
        preflight = {"origin": "http://x.test", "access-control-request-method": "GET"}
        self.assertEqual((await self.ask("OPTIONS", f"{self.account}/c/o", preflight, token=None)).status, 401)

    async def test_not_allowed(self) -> None:
        """A method that a level has not is 405 with those it has."""
        answer = await self.ask("DELETE", self.account)
        self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD, POST, PUT, OPTIONS"))
        self.assertEqual((await self.ask("COPY", f"{self.account}/c")).status, 405)
        self.assertEqual((await self.ask("PATCH", f"{self.account}/c/o")).status, 405)

    async def test_features_not_here(self) -> None:
        """What is asked for by header or parameter and not here is 501, and changes nothing."""
        await self.put_object("c", "o", b"data")
        path = f"{self.account}/c/o"
        for method, target, headers in (
            ("PUT", path, {"x-delete-after": "60"}),
            ("POST", path, {"x-delete-at": "99999999999"}),
            ("PUT", path, {"x-symlink-target": "c/p"}),
            ("PUT", f"{path}?multipart-manifest=put", {}),
            ("DELETE", f"{path}?multipart-manifest=delete", {}),
            ("PUT", f"{self.account}/c?extract-archive=tar", {}),
            ("GET", f"{path}?temp_url_sig=1&temp_url_expires=2", {}),
            ("GET", f"{self.account}/c?versions", {}),
            ("PUT", f"{self.account}/c", {"x-versions-enabled": "true"}),
            ("POST", self.account, {"x-account-meta-temp-url-key": "k"}),
            ("POST", f"{self.account}/c", {"x-container-meta-quota-bytes": "1"}),
            ("COPY", path, {"destination": "c/p", "range": "bytes=0-1"}),
        ):
            answer = await self.ask(method, target, headers, body=b"" if method in ("PUT", "POST") else None)
            self.assertEqual(answer.status, 501, (method, target, headers))
            self.assertIn(b"/info", answer.body)
        self.assertEqual((await self.ask("GET", path)).body, b"data")
        self.assertEqual(await self.names("c"), ["o"])

    async def test_fault(self) -> None:
        """A fault of ours is a 500 and says nothing of its inside."""

        def broken(*_: object) -> object:
            raise RuntimeError("inner secret")

        self.patch(self.store, "account", broken)
        answer = await self.ask("GET", self.account)
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
