"""The object port against bad names, bodies, lengths and tokens, and against every other tenant."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from urllib.parse import quote

from .siege import Identity, Siege, api, eventually, log_in, secret, somebody, unnamed_files
from .wire import Answer, Wire, ask, head

TEN_GB = 10_000_000_000


class SwiftSiege(Siege):
    def put_head(self, target: str, **headers: str) -> bytes:
        """The head of a PUT by the first tenant."""
        fields = {"X-Auth-Token": self.demo.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return head("PUT", f"/v1/{self.demo.account}{target}", fields, port=self.cloud.ports["object"])

    def begin(self, data: bytes) -> Wire:
        wire = Wire(self.cloud.ports["object"])
        self.addCleanup(wire.socket.close)
        wire.send(data)
        return wire


class BadNames(SwiftSiege):
    def test_percent_encoding(self) -> None:
        """A path is decoded once: dots, slashes and doubled encodings are bytes of a name and reach no file system."""
        odd = (
            "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "../../etc/passwd",
            "%252e%252e%252fetc",
            "a%2fb",
            "%2541",
            "%",
            "%zz",
            "./.",
            "//",
            "%0d%0aX-Injected:%20yes",
            "%e2%80%ae%ef%bb%bf",
            "x;y=z",
            "%20",
        )
        with self.container(self.demo) as box:
            for name in odd:
                answer = self.demo.swift("PUT", f"/{box}/{name}", name.encode())
                self.assertEqual(answer.status, 201, f"{name}: {answer.text}")
            for name in odd:
                answer = self.demo.swift("GET", f"/{box}/{name}")
                self.assertEqual(answer.body, name.encode())
                self.assertNotIn("x-injected", answer.headers)
            for form in ("json", "xml", "plain"):
                self.assertEqual(self.demo.swift("GET", f"/{box}?format={form}").status, 200)
            self.assertEqual(len(self.demo.swift("GET", f"/{box}?format=json").json()), len(odd))

    def test_dots_do_not_leave_the_account(self) -> None:
        """No spelling of ``..`` leads from one account into another, or to a container's objects from beside it."""
        with self.container(self.demo, o=b"secret data") as box:
            mine, theirs = self.other.account, self.demo.account
            for path in (
                f"/v1/{mine}/../{theirs}/{box}/o",
                f"/v1/{mine}/%2e%2e/{theirs}/{box}/o",
                f"/v1/{mine}/%2e%2e%2f{theirs}%2f{box}%2fo",
                f"/v1/{mine}/..%252f{theirs}/{box}/o",
                f"/v1/{mine}%2f..%2f{theirs}/{box}/o",
                f"//v1/{theirs}/{box}/o",
                f"/v1//{theirs}/{box}/o",
                f"/./v1/{theirs}/{box}/o",
                f"/v1/{theirs}%00/{box}/o",
                f"/v1/{theirs}/{box}/o%00",
                f"/V1/{theirs}/{box}/o",
                f"/v1/{theirs.lower()}/{box}/o",
                f"/%761/{theirs}/{box}/o",
                f"/v1/{theirs}/{box}/o/info",
                f"/swift/v1/{theirs}/{box}/o",
            ):
                for method in ("GET", "PUT", "DELETE"):
                    answer = self.other.swift(method, path, b"" if method == "PUT" else None)
                    self.assertGreaterEqual(answer.status, 400, f"{method} {path}")
                    self.assertLess(answer.status, 500, f"{method} {path}: {answer.text}")
                    self.assertNotIn(b"secret data", answer.body)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"secret data")

    def test_bad_bytes_and_lengths(self) -> None:
        """Bytes that are not UTF-8, NUL and over-long names are refused with a cause."""
        with self.container(self.demo) as box:
            for name in ("%ff%fe", "%00", "a%00b", "%ed%a0%80", "%c0%af", "%f8%88%80%80%80"):
                self.check_swift(self.demo.swift("PUT", f"/{box}/{name}", b"x"), 412)
                self.check_swift(self.demo.swift("PUT", f"/{name}"), 412)
            self.check_swift(self.demo.swift("PUT", f"/{box}/{'k' * 1025}", b"x"), 400)
            self.check_swift(self.demo.swift("PUT", f"/{box}/{'%e2%98%83' * 342}", b"x"), 400)
            self.check_swift(self.demo.swift("PUT", f"/{'c' * 257}"), 400)
            self.check_swift(self.demo.swift("PUT", "/a%2fb%00"), 412)
            longest = "%e2%98%83" * 341
            self.assertEqual(self.demo.swift("PUT", f"/{box}/{longest}", b"x").status, 201)

    def test_queries(self) -> None:
        """Listing parameters of any bytes give a listing or a 4xx."""
        with self.container(self.demo, o=b"x") as box:
            values = ("-1", "1e9", "9" * 30, "10001", "%ff", "%00", "\u0661", "x" * 4000, "", "[]", "%2e%2e")
            for name in ("limit", "marker", "end_marker", "prefix", "delimiter", "format", "reverse", "path"):
                for value in values:
                    for place in (f"/{box}", ""):
                        answer = self.demo.swift("GET", f"{place}?{name}={quote(value, safe='%')}")
                        allowed = (200, 204, 400, 412, 501) if name == "path" else (200, 204, 400, 406, 412)
                        self.assertIn(answer.status, allowed, f"{place}?{name}={value[:20]}: {answer.text}")


class FalseBodies(SwiftSiege):
    def test_wrong_etag(self) -> None:
        """A body of another MD5 is 422 and leaves the earlier object as it was; what is no MD5 is refused too."""
        with self.container(self.demo, o=b"first") as box:
            for length in (10, 100_000, 3_000_000):
                answer = self.demo.swift("PUT", f"/{box}/o", b"x" * length, ETag="0" * 32)
                self.check_swift(answer, 422)
            for etag in ("nonsense", '"' + "0" * 32 + '"', "\u2603", "0" * 5000):
                self.check_swift(self.demo.swift("PUT", f"/{box}/o", b"x", ETag=etag), 400, 422)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"first")

    def test_ten_gigabytes_declared(self) -> None:
        """Beyond the limit it is refused before a byte is asked for; below it ten bytes are no object."""
        with self.container(self.demo, o=b"first") as box:
            wire = self.begin(self.put_head(f"/{box}/o", Content_Length=str(TEN_GB)) + b"ten bytes!")
            self.check_swift(wire.answer("PUT"), 413)
            wire = self.begin(self.put_head(f"/{box}/o", Content_Length=str(TEN_GB), Expect="100-continue"))
            self.check_swift(wire.answer("PUT"), 413)
            with self.begin(self.put_head(f"/{box}/o", Content_Length="5000000000") + b"ten bytes!") as wire:
                wire.half_close()
                answer = wire.answer("PUT")
            self.assertIn(answer.status, (499, 507), answer.text)
            for _ in range(5):
                self.begin(self.put_head(f"/{box}/o", Content_Length="400000") + b"x" * 399_999).socket.close()
            self.assertEqual(eventually(lambda: self.demo.swift("GET", f"/{box}/o").body, b"first"), b"first")

    def test_truncated_chunks(self) -> None:
        """A chunked body that is cut, or whose framing breaks, leaves nothing."""
        with self.container(self.demo, o=b"first") as box:
            for body, status in (
                (b"5\r\nhello\r\n", 499),
                (b"5\r\nhel", 499),
                (b"5\r\nhello\r\n0\r\n", 499),
                (b"xyz\r\nhello\r\n0\r\n\r\n", 400),
                (b"5\r\nhelloworld\r\n0\r\n\r\n", 400),
                (b"-5\r\nhello\r\n0\r\n\r\n", 400),
                (b"FFFFFFFFFFFFFFFFF\r\nhello", 400),
            ):
                with self.begin(self.put_head(f"/{box}/o", Transfer_Encoding="chunked") + body) as wire:
                    wire.half_close()
                    self.assertEqual(wire.answer("PUT").status, status, body)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"first")

    def test_clients_that_vanish(self) -> None:
        """Resets in the middle of twenty uploads at once leave no file, descriptor or connection."""
        with self.container(self.demo) as box:
            wires = []
            for number in range(20):
                wire = self.begin(self.put_head(f"/{box}/o{number}", Content_Length="3000000"))
                wire.send(b"x" * 700_000)
                wires.append(wire)
            for wire in wires:
                wire.reset()
            self.assertEqual(eventually(lambda: unnamed_files(self.cloud), []), [])
            self.assertEqual(self.demo.swift("GET", f"/{box}").text, "")

    def test_no_length(self) -> None:
        """Neither Content-Length nor chunks is 411; a length that is none is 400."""
        with self.container(self.demo) as box:
            self.check_swift(self.demo.swift("PUT", f"/{box}/o"), 411)
            for length in ("-1", "1e3", "abc", "0x10", "1 2", ""):
                self.assertEqual(
                    self.begin(self.put_head(f"/{box}/o", Content_Length=length)).answer("PUT").status, 400
                )

    def test_ranges(self) -> None:
        """Overlapping and senseless ranges never send more than the object twice, nor a 500."""
        with self.container(self.demo, o=b"0123456789" * 1000) as box:
            for value in (
                "bytes=" + ",".join(["0-"] * 50),
                "bytes=" + ",".join(f"0-{n}" for n in range(1000)),
                "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 4000, 2)),
                "bytes=" + ",".join(f"{n}-" for n in range(40, 0, -1)),
                "bytes=5-4",
                "bytes=--5",
                f"bytes={'9' * 400}-",
                "bytes=0-0, ,,-1",
                "seconds=1-2",
            ):
                answer = self.demo.swift("GET", f"/{box}/o", Range=value)
                self.assertIn(answer.status, (200, 206, 416), value[:40])
                self.assertLess(len(answer.body), 25_000, value[:40])

    def test_headers(self) -> None:
        """Metadata beyond the limits or of bad bytes changes nothing."""
        with self.container(self.demo, o=b"x") as box:
            for headers in (
                {"X-Object-Meta-A": "x" * 300},
                {"X-Object-Meta-" + "n" * 200: "x"},
                {"X-Object-Meta-": "x"},
                {f"X-Object-Meta-{n}": "x" for n in range(95)},
                {f"X-Object-Meta-{n}": "x" * 200 for n in range(40)},
                {"X-Object-Meta-A": "\udcff\udcfe"},
                {"X-Object-Manifest": "no-slash"},
                {"X-Object-Manifest": "a/b?c"},
            ):
                for method in ("PUT", "POST"):
                    answer = self.demo.swift(method, f"/{box}/o", b"" if method == "PUT" else None, **headers)
                    self.check_swift(answer, 400)
            for value in ("nonsense", "*:*:*", ".r:", ".x:*", "a" * 9000, ".rlistings,.r:-"):
                self.check_swift(self.demo.swift("POST", f"/{box}", X_Container_Read=value), 400)
            for value in (".r:*", ".rlistings", "x"):
                self.check_swift(self.demo.swift("POST", f"/{box}", X_Container_Write=value), 400)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"x")

    def test_bulk_delete(self) -> None:
        """Bad lines are told one by one, foreign ones delete nothing, and too many or too long ones are refused."""
        with self.container(self.demo, o=b"x") as box:
            lines = f"{box}\n/%ff\n/%00/x\n../../{box}/o\n//\n/{'x' * 300}/o\n/{box}/{'k' * 2000}\n".encode()
            answer = self.demo.swift(
                "POST", "/?bulk-delete", lines, Content_Type="text/plain", Accept="application/json"
            )
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.json()["Number Deleted"], 0, answer.text)
            for body in (b"/a/b\n" * 10_001, b"x" * 3_000_000):
                answer = self.demo.swift("POST", "/?bulk-delete", body, Content_Type="text/plain")
                self.assertIn(answer.status, (200, 400, 413), answer.text[:300])
            foreign = f"/{box}/o\n".encode()
            target = f"/v1/{self.demo.account}?bulk-delete"
            answer = self.other.swift("POST", target, foreign, Content_Type="text/plain")
            self.assertTrue(answer.status == 403 or "403 Forbidden" in answer.text, answer.text)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"x")


class ForeignTenants(SwiftSiege):
    def every_call(self, account: str, box: str) -> list[tuple[str, str, dict[str, str]]]:
        """Method, path and headers of each kind of call to a container ``box`` with an object ``o``."""
        root = f"/v1/{account}"
        return [
            ("GET", root, {}),
            ("HEAD", root, {}),
            ("POST", root, {"X-Account-Meta-A": "b"}),
            ("PUT", root, {}),
            ("GET", f"{root}/{box}", {}),
            ("HEAD", f"{root}/{box}", {}),
            ("PUT", f"{root}/{box}", {}),
            ("PUT", f"{root}/{box}-new", {}),
            ("POST", f"{root}/{box}", {"X-Container-Read": ".r:*"}),
            ("DELETE", f"{root}/{box}", {}),
            ("GET", f"{root}/{box}/o", {}),
            ("HEAD", f"{root}/{box}/o", {}),
            ("PUT", f"{root}/{box}/o", {"Content-Length": "0"}),
            ("PUT", f"{root}/{box}/n", {"Content-Length": "0"}),
            ("PUT", f"{root}/{box}/n", {"Content-Length": "0", "X-Copy-From": f"/{box}/o"}),
            ("POST", f"{root}/{box}/o", {"X-Object-Meta-A": "b"}),
            ("DELETE", f"{root}/{box}/o", {}),
            ("COPY", f"{root}/{box}/o", {"Destination": f"{box}/n"}),
            ("GET", f"{root}/no-such-container/o", {}),
        ]

    def refused(self, token: str, account: str, box: str, *status: int, only: str = "") -> None:
        """Every call is refused; the answer does not tell what exists."""
        for method, path, headers in self.every_call(account, box):
            if only and method not in only.split():
                continue
            fields = {**headers, **({"X-Auth-Token": token} if token else {})}
            answer = ask(self.cloud.ports["object"], method, path, fields)
            self.assertIn(answer.status, status, f"{method} {path}: {answer.text}")
            self.assertNotIn(b"secret data", answer.body)

    def test_another_project(self) -> None:
        """A member of another project is refused everywhere, whether a thing exists or not."""
        with self.container(self.demo, o=b"secret data") as box:
            self.refused(self.other.token, self.demo.account, box, 403)
            self.assertEqual(self.demo.swift("GET", f"/{box}").text, "o\n")

    def test_copies_from_and_to_others(self) -> None:
        """No way of copying reads or writes a foreign account, and a manifest does not point out of one's own."""
        with self.container(self.demo, o=b"secret data") as box, self.container(self.other, m=b"mine") as own:
            theirs = self.demo.account
            for method, path, headers in (
                ("PUT", f"/{own}/n", {"X-Copy-From": f"/{box}/o", "X-Copy-From-Account": theirs}),
                (
                    "PUT",
                    f"/{own}/n",
                    {"X-Copy-From": f"/{box}/o", "X-Copy-From-Account": quote(theirs + "/x", safe="")},
                ),
                (
                    "PUT",
                    f"/v1/{theirs}/{box}/n",
                    {"X-Copy-From": f"/{own}/m", "X-Copy-From-Account": self.other.account},
                ),
                (
                    "COPY",
                    f"/v1/{theirs}/{box}/o",
                    {"Destination": f"/{own}/n", "Destination-Account": self.other.account},
                ),
                ("COPY", f"/{own}/m", {"Destination": f"/{box}/n", "Destination-Account": theirs}),
                (
                    "COPY",
                    f"/{own}/m",
                    {"Destination": f"/{box}/o", "Destination-Account": theirs, "X-Fresh-Metadata": "1"},
                ),
            ):
                answer = self.other.swift(method, path, b"" if method == "PUT" else None, **headers)
                self.assertIn(answer.status, (400, 403, 412), f"{method} {path}: {answer.status} {answer.text}")
            for source in (
                f"/../{theirs}/{box}/o",
                f"/%2e%2e/{theirs}/{box}/o",
                f"{theirs}/{box}/o",
                f"/v1/{theirs}/{box}/o",
            ):
                answer = self.other.swift("PUT", f"/{own}/n", b"", **{"X-Copy-From": source})
                self.assertEqual(answer.status, 404, f"{source}: {answer.text}")
            for manifest in (f"{box}/o", f"../{theirs}/{box}/o", f"%2e%2e%2f{theirs}/{box}"):
                self.other.swift("PUT", f"/{own}/large", b"", **{"X-Object-Manifest": manifest})
                self.assertNotIn(b"secret data", self.other.swift("GET", f"/{own}/large").body)
                copied = self.other.swift("COPY", f"/{own}/large", Destination=f"/{own}/joined")
                self.assertIn(copied.status, (201, 404), copied.text)
                self.assertNotIn(b"secret data", self.other.swift("GET", f"/{own}/joined").body)
            self.assertEqual(self.demo.swift("GET", f"/{box}").text, "o\n")
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"secret data")

    def test_shared_containers(self) -> None:
        """An access list lets in whom it names, to what it names, and ends with it."""
        with self.container(self.demo, o=b"shared") as box, self.container(self.other) as own:
            place = f"/v1/{self.demo.account}/{box}"
            reader = f"{self.other.project_id}:{self.other.user_id}"
            self.assertEqual(self.demo.swift("POST", f"/{box}", X_Container_Read=reader).status, 204)
            self.assertEqual(self.other.swift("GET", f"{place}/o").body, b"shared")
            for method, path in (("PUT", f"{place}/n"), ("DELETE", f"{place}/o"), ("POST", place), ("DELETE", place)):
                answer = self.other.swift(method, path, b"" if method == "PUT" else None)
                self.assertEqual(answer.status, 403, f"{method} {path}")
            shown = self.other.swift("GET", place)
            self.assertNotIn("x-container-read", shown.headers)
            source = {"X-Copy-From": f"/{box}/o", "X-Copy-From-Account": self.demo.account}
            self.assertEqual(self.other.swift("PUT", f"/{own}/n", b"", **source).status, 201)
            self.assertEqual(self.demo.swift("POST", f"/{box}", X_Remove_Container_Read="x").status, 204)
            self.assertEqual(self.other.swift("GET", f"{place}/o").status, 403)
            self.assertEqual(ask(self.cloud.ports["object"], "GET", f"{place}/o").status, 401)

    def test_lesser_roles(self) -> None:
        """A reader changes nothing; whoever has no role, or a role that means nothing here, sees nothing."""
        project = self.demo.project_id
        with (
            self.container(self.demo, o=b"secret data") as box,
            somebody(self.cloud, "reader", project_id=project) as one,
        ):
            self.assertEqual(one.swift("GET", f"/v1/{self.demo.account}/{box}/o").body, b"secret data")
            self.refused(one.token, self.demo.account, box, 403, only="PUT POST DELETE COPY")
            made = self.admin.api("POST", "/roles", {"role": {"name": "auditor"}}, 201).json()["role"]
            with somebody(self.cloud, "auditor", project_id=project) as two:
                self.refused(two.token, self.demo.account, box, 403)
            self.admin.api("DELETE", f"/roles/{made['id']}", status=204)
            token, _ = log_in(self.cloud, self.by_password(self.other), "unscoped")
            self.refused(token, self.demo.account, box, 403)
            self.refused("", self.demo.account, box, 401)

    def by_password(self, user: Identity) -> dict[str, object]:
        return {"methods": ["password"], "password": {"user": {"id": user.user_id, "password": user.password}}}

    def test_restricted_credential(self) -> None:
        """A token of an application credential for reader reads, and no more, though its user is a member."""
        path = f"/users/{self.demo.user_id}/application_credentials"
        wanted = {"application_credential": {"name": f"ro-{time.time_ns()}", "roles": [{"name": "reader"}]}}
        made = self.demo.api("POST", path, wanted, 201).json()["application_credential"]
        login = {"id": made["id"], "secret": secret(made["secret"])}
        token, _ = log_in(self.cloud, {"methods": ["application_credential"], "application_credential": login})
        with self.container(self.demo, o=b"data") as box:
            place = f"/v1/{self.demo.account}/{box}/o"
            got = ask(self.cloud.ports["object"], "GET", place, {"X-Auth-Token": token})
            self.assertEqual(got.body, b"data")
            self.refused(token, self.demo.account, box, 403, only="PUT POST DELETE COPY")
            self.demo.api("DELETE", f"{path}/{made['id']}", status=204)
            time.sleep(1)
            self.everywhere(place, token, 401)

    def everywhere(self, place: str, token: str, status: int) -> None:
        """Every worker answers ``status``: asked so often over new connections that all are met."""
        for _ in range(30):
            answer = ask(self.cloud.ports["object"], "GET", place, {"X-Auth-Token": token})
            self.assertEqual(answer.status, status, answer.text)

    def test_tokens_that_ended(self) -> None:
        """Revoked, of a disabled user, of a lost role, of a disabled project: refused by every worker in a second."""
        with self.container(self.demo, o=b"data") as box:
            project = self.demo.project_id
            place = f"/v1/{self.demo.account}/{box}/o"
            with somebody(self.cloud, "reader", project_id=project) as user:
                self.everywhere(place, user.token, 200)
                ended = user.log_in()
                self.everywhere(place, ended, 200)
                headers = {"X-Auth-Token": user.token, "X-Subject-Token": ended}
                self.assertEqual(
                    ask(self.cloud.ports["api"], "DELETE", "/identity/v3/auth/tokens", headers).status, 204
                )
                time.sleep(1)
                self.everywhere(place, ended, 401)
                user.log_in()
                self.everywhere(place, user.token, 200)
                self.admin.api("PATCH", f"/users/{user.user_id}", {"user": {"enabled": False}}, 200)
                time.sleep(1)
                self.everywhere(place, user.token, 401)
                self.admin.api("PATCH", f"/users/{user.user_id}", {"user": {"enabled": True}}, 200)
                time.sleep(1)
                self.everywhere(place, user.token, 401)
                user.log_in()
                self.everywhere(place, user.token, 200)
                given = f"/projects/{project}/users/{user.user_id}/roles"
                role = self.admin.api("GET", given, status=200).json()["roles"][0]["id"]
                self.admin.api("DELETE", f"{given}/{role}", status=204)
                time.sleep(1)
                self.everywhere(place, user.token, 401)

    def test_expired_tokens(self) -> None:
        """A token ends with the credential it was got with, to the second, in every worker, and makes no new one."""
        path = f"/users/{self.demo.user_id}/application_credentials"
        ends_at = time.time() + 10
        ends = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(ends_at))
        wanted = {"application_credential": {"name": f"short-{time.time_ns()}", "expires_at": ends}}
        made = self.demo.api("POST", path, wanted, 201).json()["application_credential"]
        login = {"methods": ["application_credential"]} | {
            "application_credential": {"id": made["id"], "secret": secret(made["secret"])}
        }
        token, _ = log_in(self.cloud, login)
        again, _ = log_in(self.cloud, {"methods": ["token"], "token": {"id": token}})
        place = f"/v1/{self.demo.account}"
        self.everywhere(place, again, 204)
        time.sleep(max(0.0, ends_at - time.time()))
        for ended in (token, again):
            self.everywhere(place, ended, 401)
        for identity in (login, {"methods": ["token"], "token": {"id": again}}):
            answer = api(self.cloud, "", "POST", "/auth/tokens", {"auth": {"identity": identity}})
            self.check_fault(answer, 401)
        self.demo.api("DELETE", f"{path}/{made['id']}", status=204)

    def test_forged_tokens(self) -> None:
        """Cut, changed, foreign, huge and senseless tokens are nobody's."""
        token = self.demo.token
        middle = len(token) // 2
        changed = "A" if token[middle] != "A" else "B"
        for forged in (
            token[:-1],
            token[:middle] + changed + token[middle + 1 :],
            token + "A",
            token.swapcase(),
            "gAAAAA" + b64encode(bytes(100)).decode(),
            "x" * 15_000,
            "../../secrets/tokens/0",
            "\u2603",
            "%00",
            "null",
            hashlib.sha256(token.encode()).hexdigest(),
        ):
            secret(forged) if forged[:20] == token[:20] and len(forged) > 60 else None
            for header in ("X-Auth-Token", "X-Storage-Token"):
                answer = ask(self.cloud.ports["object"], "GET", f"/v1/{self.demo.account}", {header: forged})
                self.check_swift(answer, 401)
            self.check_fault(api_token(self, forged), 401)

    def test_tempauth(self) -> None:
        """Wrong keys, foreign projects and odd names are 401 and tell nothing."""
        other, demo = self.other, self.demo
        for user, key in (
            (f"{demo.name}:{demo.name}", "wrong"),
            (f"{demo.project}:{other.name}", other.password),
            (f"no-such:{other.name}", other.password),
            (f":{other.name}", other.password),
            (other.name, other.password),
            ("::::", "x"),
            ("\u2603:\u2603", "\u2603"),
            ("x" * 5000, "y" * 5000),
            (demo.signer.access, other.signer.secret),
            (demo.signer.access, ""),
        ):
            answer = ask(self.cloud.ports["object"], "GET", "/auth/v1.0", {"X-Auth-User": user, "X-Auth-Key": key})
            self.check_swift(answer, 401)
            self.assertNotIn("x-auth-token", answer.headers)


def api_token(siege: Siege, token: str) -> Answer:
    return ask(siege.cloud.ports["api"], "GET", "/identity/v3/auth/projects", {"X-Auth-Token": token})
