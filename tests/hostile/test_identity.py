"""The identity API against bad documents, and against users who try what is another's."""

from __future__ import annotations

import json
import time
from typing import Any

from .siege import V3, Identity, Siege, api, log_in, secret, somebody
from .wire import Answer, Wire, ask, head

JSON = {"Content-Type": "application/json"}


class BadDocuments(Siege):
    def post(self, path: str, body: bytes, token: str | None = None, method: str = "POST", **headers: str) -> Answer:
        """A document as it is."""
        fields = {**JSON, "X-Auth-Token": self.admin.token if token is None else token, **headers}
        return ask(self.cloud.ports["api"], method, V3 + path, fields, body)

    def test_malformed_json(self) -> None:
        """What is no JSON, no UTF-8, too deep, too long or not there is 400 or 413, with the place or the cause."""
        for body in (
            b"",
            b"   ",
            b"{",
            b'{"user": {"name": "a"',
            b"{'user': 1}",
            b'{"user": {"name": "\xff\xfe"}}',
            b'{"user": {"name": "\xed\xa0\x80"}}',
            b'{"user": {"name": "a\\u0000b"}}',
            b'{"user": {"name": "\\ud800"}}',
            b"[" * 100_000,
            b'{"user":' * 5000 + b"1" + b"}" * 5000,
            b"\x00\x01",
            b"null",
            b"NaN",
            b"\xef\xbb\xbf{}",
            b"<user/>",
        ):
            for path in ("/users", "/auth/tokens", "/projects", "/roles"):
                self.check_fault(self.post(path, body), 400)
        self.check_fault(self.post("/users", b" " * 1_100_000), 413)

    def test_wrong_types_and_names(self) -> None:
        """Wrong types, unknown members, empty and over-long names are 400 and name the member."""
        bad: list[tuple[str, Any, str]] = [
            ("/users", {"user": {"name": 5}}, "user.name"),
            ("/users", {"user": {"name": "x", "enabled": "yes"}}, "user.enabled"),
            ("/users", {"user": {"nmae": "x"}}, "name"),
            ("/users", {"user": [{"name": "x"}]}, "user"),
            ("/users", {"user": {"name": ""}}, "user.name"),
            ("/users", {"user": {"name": "x" * 256}}, "user.name"),
            ("/users", {"user": {"name": "x", "password": 12}}, "user.password"),
            ("/users", {"user": {"name": "x", "password": "p" * 100_000}}, "password"),
            ("/projects", {"project": {"name": "x" * 65}}, "name"),
            ("/projects", {"project": {"name": "x", "is_domain": "no"}}, "is_domain"),
            ("/domains", {"domain": {"name": "x", "id": {"$gt": ""}}}, "domain"),
            ("/roles", {"role": {"name": None}}, "role.name"),
            ("/auth/tokens", {"auth": {"identity": {"methods": "password"}}}, "methods"),
            ("/auth/tokens", {"auth": {"identity": {"methods": []}}}, "methods"),
            ("/auth/tokens", {"auth": {"identity": {"methods": ["password"]}}}, "password"),
            ("/auth/tokens", {"auth": {"identity": {"methods": ["kerberos"]}}}, ""),
            ("/auth/tokens", {"auth": {"scope": {}}}, "identity"),
        ]
        for path, document, word in bad:
            answer = self.post(path, json.dumps(document).encode())
            self.assertIn(answer.status, (400, 401), f"{document}: {answer.text}")
            self.check_fault(answer, answer.status, word)

    def test_paths_and_queries(self) -> None:
        """Encoded dots, slashes, NUL and bad UTF-8 in a path or query are 4xx, and reach no other record."""
        mine = self.other
        for name in ("%2e%2e", "%2e%2e%2fusers", "%00", "%ff", "%252e", "x" * 5000, "'%20OR%20'1'='1", "*", "%25", ";"):
            for path in (f"/users/{name}", f"/projects/{name}", f"/users/{self.demo.user_id}%2f{name}"):
                for method in ("GET", "DELETE", "PATCH"):
                    answer = self.post(path, b'{"user": {}}', mine.token, method)
                    self.assertIn(answer.status, (400, 403, 404, 405), f"{method} {path[:60]}: {answer.text}")
                    self.check_fault(answer, answer.status)
            for query in (f"name={name}", f"limit={name}", f"marker={name}", f"domain_id={name}", f"enabled={name}"):
                answer = api(self.cloud, self.admin.token, "GET", f"/users?{query}")
                self.assertIn(answer.status, (200, 400), f"{query[:60]}: {answer.text}")
                if answer.status == 200 and not query.startswith(("limit", "marker", "enabled")):
                    self.assertEqual(answer.json()["users"], [], query)
        traversed = ask(self.cloud.ports["api"], "GET", "/identity/v3/../../health")
        self.assertEqual(traversed.status, 404)

    def test_lengths(self) -> None:
        """10 GB declared and 10 bytes sent: refused at once, or 400 when the client leaves; no row either way."""
        port = self.cloud.ports["api"]
        fields = {**JSON, "X-Auth-Token": self.admin.token}
        with Wire(port) as wire:
            wire.send(
                head("POST", f"{V3}/users", {**fields, "Content-Length": "10000000000"}, port=port) + b"ten bytes!"
            )
            self.check_fault(wire.answer(), 413)
        body = b'{"user": {"name": "half"}}'
        for framing, sent in (
            ({"Content-Length": str(len(body) + 1)}, body),
            ({"Content-Length": str(len(body) - 1)}, body[:-1]),
            ({"Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n" % (len(body), body)),
        ):
            with Wire(port) as wire:
                wire.send(head("POST", f"{V3}/users", {**fields, **framing}, port=port) + sent)
                wire.half_close()
                self.check_fault(wire.answer(), 400)
            with Wire(port) as wire:
                wire.send(head("POST", f"{V3}/users", {**fields, **framing}, port=port) + sent[:-3])

    def test_wrong_log_ins(self) -> None:
        """Whatever is wrong with a log-in, the answer is the same 401, and no quicker for users who do not exist."""
        demo, other = self.demo, self.other
        users: list[dict[str, Any]] = [
            {"name": demo.name, "domain": {"id": "default"}, "password": "wrong"},
            {"name": "nobody", "domain": {"id": "default"}, "password": "wrong"},
            {"name": demo.name, "domain": {"id": "nowhere"}, "password": demo.password},
            {"id": demo.user_id, "password": other.password},
            {"id": demo.project_id, "password": demo.password},
        ]
        told = set()
        took = []
        for user in users:
            began = time.monotonic()
            identity = {"methods": ["password"], "password": {"user": user}}
            answer = api(self.cloud, "", "POST", "/auth/tokens", {"auth": {"identity": identity}})
            took.append(time.monotonic() - began)
            self.check_fault(answer, 401)
            told.add(answer.json()["error"]["message"])
        self.assertEqual(len(told), 1, told)
        self.assertGreater(min(took), max(took) / 20, took)


class ForeignTenants(Siege):
    def password(self, user: Identity) -> dict[str, Any]:
        return {"methods": ["password"], "password": {"user": {"id": user.user_id, "password": user.password}}}

    def test_scopes_of_others(self) -> None:
        """No log-in, by password, token or credential, leads to a project or domain on which the user has no role."""
        theirs: list[Any] = [
            {"project": {"id": self.demo.project_id}},
            {"project": {"name": self.demo.project, "domain": {"id": "default"}}},
            {"project": {"id": self.admin.project_id}},
            {"project": {"id": "0" * 32}},
            {"domain": {"id": "default"}},
        ]
        by_token = {"methods": ["token"], "token": {"id": self.other.token}}
        by_both = {**self.password(self.other), "methods": ["password", "token"], "token": {"id": self.demo.token}}
        for identity in (self.password(self.other), by_token, by_both):
            for scope in theirs:
                document = {"auth": {"identity": identity, "scope": scope}}
                self.check_fault(api(self.cloud, "", "POST", "/auth/tokens", document), 401)
        document = {"auth": {"identity": self.password(self.other), "scope": {"system": {"all": True}}}}
        self.check_fault(api(self.cloud, "", "POST", "/auth/tokens", document), 501)

    def calls(self, victim: Identity, key: str, credential: str) -> list[tuple[str, str, Any]]:
        """Each kind of call about what is another's."""
        user, project = f"/users/{victim.user_id}", f"/projects/{victim.project_id}"
        mine = f"/users/{self.other.user_id}/roles/{victim_role(self)}"
        return [
            ("GET", user, None),
            ("PATCH", user, {"user": {"password": "taken over"}}),
            ("PATCH", user, {"user": {"enabled": False}}),
            ("DELETE", user, None),
            ("POST", f"{user}/password", {"user": {"password": "new", "original_password": victim.password}}),
            ("GET", f"{user}/projects", None),
            ("GET", f"{user}/credentials/OS-EC2", None),
            ("GET", f"{user}/credentials/OS-EC2/{key}", None),
            ("DELETE", f"{user}/credentials/OS-EC2/{key}", None),
            ("POST", f"{user}/credentials/OS-EC2", {"tenant_id": victim.project_id}),
            ("POST", f"{user}/credentials/OS-EC2", {"tenant_id": self.other.project_id}),
            ("GET", f"{user}/application_credentials", None),
            ("GET", f"{user}/application_credentials/{credential}", None),
            ("DELETE", f"{user}/application_credentials/{credential}", None),
            ("POST", f"{user}/application_credentials", {"application_credential": {"name": "theirs"}}),
            ("GET", project, None),
            ("PATCH", project, {"project": {"name": "mine now"}}),
            ("DELETE", project, None),
            ("PUT", f"{project}{mine}", None),
            ("GET", f"{project}/users/{victim.user_id}/roles", None),
            ("PUT", f"/domains/default{mine}", None),
            ("GET", "/users", None),
            ("GET", "/projects", None),
            ("GET", "/domains", None),
            ("POST", "/users", {"user": {"name": "friend", "domain_id": "default"}}),
            ("POST", "/projects", {"project": {"name": "estate", "domain_id": "default"}}),
            ("POST", "/domains", {"domain": {"name": "estate"}}),
            ("POST", "/roles", {"role": {"name": "emperor"}}),
            ("GET", "/role_assignments", None),
            ("GET", f"/role_assignments?user.id={victim.user_id}", None),
        ]

    def test_records_of_others(self) -> None:
        """Users, projects, keys, credentials and assignments of another tenant can neither be seen nor changed."""
        path = f"/users/{self.demo.user_id}/application_credentials"
        made = self.demo.api("POST", path, {"application_credential": {"name": f"a-{time.time_ns()}"}}, 201)
        credential = made.json()["application_credential"]["id"]
        secret(made.json()["application_credential"]["secret"])
        key = self.demo.signer.access
        own = f"/users/{self.other.user_id}"
        for method, place, document in (
            *self.calls(self.demo, key, credential),
            ("GET", f"{own}/credentials/OS-EC2/{key}", None),
            ("DELETE", f"{own}/credentials/OS-EC2/{key}", None),
            ("POST", f"{own}/credentials/OS-EC2", {"tenant_id": self.demo.project_id}),
            ("GET", f"{own}/application_credentials/{credential}", None),
            ("DELETE", f"{own}/application_credentials/{credential}", None),
        ):
            answer = self.other.api(method, place, document)
            self.assertIn(answer.status, (401, 403, 404), f"{method} {place}: {answer.status} {answer.text}")
            self.assertNotIn(self.demo.signer.secret, answer.text)
        self.assertEqual(self.demo.api("DELETE", f"{path}/{credential}").status, 204)

    def test_tokens_of_others(self) -> None:
        """A foreign token can be neither looked at nor revoked."""
        for method in ("GET", "HEAD", "DELETE"):
            fields = {"X-Auth-Token": self.other.token, "X-Subject-Token": self.demo.token}
            answer = ask(self.cloud.ports["api"], method, f"{V3}/auth/tokens", fields)
            self.assertIn(answer.status, (403, 404), answer.text)
        self.assertEqual(self.demo.swift("HEAD", "").status, 204)

    def test_readers_and_strangers(self) -> None:
        """Neither a reader of the project, nor a user without a role, nor nobody at all may do any of it."""
        key = self.demo.signer.access
        with somebody(self.cloud, "reader", project_id=self.demo.project_id) as reader, somebody(self.cloud) as nobody:
            unscoped, _ = log_in(self.cloud, self.password(nobody))
            for token, allowed in ((reader.token, (401, 403, 404)), (unscoped, (401, 403, 404)), ("", (401,))):
                for method, place, document in self.calls(self.demo, key, "0" * 32):
                    answer = api(self.cloud, token, method, place, document)
                    if token == reader.token and (method, place) == ("GET", f"/projects/{self.demo.project_id}"):
                        self.assertEqual(answer.status, 200)
                        continue
                    self.assertIn(answer.status, allowed, f"{method} {place}: {answer.status} {answer.text}")

    def test_restricted_credential(self) -> None:
        """A token of a restricted credential makes no keys or credentials, nor a wider token of itself."""
        path = f"/users/{self.demo.user_id}"
        wanted = {"application_credential": {"name": f"r-{time.time_ns()}", "roles": [{"name": "reader"}]}}
        made = self.demo.api("POST", f"{path}/application_credentials", wanted, 201).json()["application_credential"]
        login = {"id": made["id"], "secret": secret(made["secret"])}
        token, facts = log_in(self.cloud, {"methods": ["application_credential"], "application_credential": login})
        self.assertEqual([role["name"] for role in facts["roles"]], ["reader"])
        again, facts = log_in(self.cloud, {"methods": ["token"], "token": {"id": token}})
        self.assertEqual([role["name"] for role in facts["roles"]], ["reader"])
        for restricted in (token, again):
            for method, place, document in (
                ("POST", "/credentials/OS-EC2", {"tenant_id": self.demo.project_id}),
                ("GET", "/credentials/OS-EC2", None),
                ("POST", "/application_credentials", {"application_credential": {"name": "wider"}}),
                ("DELETE", f"/application_credentials/{made['id']}", None),
            ):
                self.check_fault(api(self.cloud, restricted, method, path + place, document), 403)
        wider = {"application_credential": {"name": "w", "roles": [{"name": "admin"}]}}
        self.assertIn(self.demo.api("POST", f"{path}/application_credentials", wider).status, (400, 403, 404))
        self.demo.api("DELETE", f"{path}/application_credentials/{made['id']}", status=204)
        self.check_fault(
            api(
                self.cloud,
                "",
                "POST",
                "/auth/tokens",
                {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}},
            ),
            401,
        )

    def test_unrestricted_credential(self) -> None:
        """A reader's credential that may make credentials makes none with more roles, and reaches no key."""
        path, names = f"/users/{self.demo.user_id}", []
        for number in range(3):
            names.append(f"u{number}-{time.time_ns()}")
        wanted: dict[str, Any] = {"name": names[0], "unrestricted": True, "roles": [{"name": "reader"}]}
        made = self.demo.api("POST", f"{path}/application_credentials", {"application_credential": wanted}, 201)
        first = made.json()["application_credential"]
        login = {"id": first["id"], "secret": secret(first["secret"])}
        token, _ = log_in(self.cloud, {"methods": ["application_credential"], "application_credential": login})
        wider = {"application_credential": {"name": names[1], "roles": [{"name": "member"}]}}
        self.check_fault(api(self.cloud, token, "POST", f"{path}/application_credentials", wider), 400, "member")
        same = {"application_credential": {"name": names[2]}}
        second = api(self.cloud, token, "POST", f"{path}/application_credentials", same, 201).json()
        roles = second["application_credential"]["roles"]
        self.assertEqual([role["name"] for role in roles], ["reader"])
        keys = f"{path}/credentials/OS-EC2"
        self.check_fault(api(self.cloud, token, "POST", keys, {"tenant_id": self.demo.project_id}), 403)
        self.check_fault(api(self.cloud, token, "GET", keys), 403)
        self.check_fault(api(self.cloud, token, "GET", f"{keys}/{self.demo.signer.access}"), 403)
        for credential in (first["id"], second["application_credential"]["id"]):
            self.demo.api("DELETE", f"{path}/application_credentials/{credential}", status=204)

    def test_domain_manager(self) -> None:
        """The manager of a domain reaches neither an administrator, nor the role admin, nor another domain."""
        domain = self.admin.api("POST", "/domains", {"domain": {"name": f"d-{time.time_ns()}"}}, 201).json()["domain"][
            "id"
        ]
        with somebody(self.cloud) as user:
            role = self.admin.api("GET", "/roles?name=manager").json()["roles"][0]["id"]
            self.admin.api("PUT", f"/domains/default/users/{user.user_id}/roles/{role}", status=204)
            token, _ = log_in(self.cloud, self.password(user), {"domain": {"id": "default"}})
            admin_role = self.admin.api("GET", "/roles?name=admin").json()["roles"][0]["id"]
            for method, place, document in (
                ("PATCH", f"/users/{self.admin.user_id}", {"user": {"password": "mine"}}),
                ("DELETE", f"/users/{self.admin.user_id}", None),
                ("PUT", f"/domains/default/users/{user.user_id}/roles/{admin_role}", None),
                ("PUT", f"/projects/{self.admin.project_id}/users/{user.user_id}/roles/{admin_role}", None),
                ("POST", f"/users/{self.admin.user_id}/credentials/OS-EC2", {"tenant_id": self.admin.project_id}),
                ("PUT", f"/domains/{domain}/users/{user.user_id}/roles/{role}", None),
                ("POST", "/users", {"user": {"name": "x", "domain_id": domain}}),
                ("PATCH", "/domains/default", {"domain": {"enabled": False}}),
                ("POST", "/roles", {"role": {"name": "x"}}),
            ):
                answer = api(self.cloud, token, method, place, document)
                self.assertIn(answer.status, (403, 404), f"{method} {place}: {answer.text}")
            self.admin.api("DELETE", f"/domains/default/users/{user.user_id}/roles/{role}", status=204)
        self.admin.api("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}}, 200)
        self.admin.api("DELETE", f"/domains/{domain}", status=204)


def victim_role(siege: Siege) -> str:
    """The id of the role member."""
    return str(siege.admin.api("GET", "/roles?name=member", status=200).json()["roles"][0]["id"])
