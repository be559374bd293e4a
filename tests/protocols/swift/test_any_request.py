"""Whatever a client sends: an answer, never a fault, and nothing left open."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from .face import ADMIN, ALICE, BOB, FaceCase

METHODS = st.sampled_from(("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"))
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#? "), max_size=12)
NAMES = st.one_of(st.sampled_from(("c", "o", "%2e%2e", "%00", "%ff", "%25", "a%20b", "", "%E2%82%AC")), TEXTS)
PATHS = st.one_of(
    st.lists(NAMES, max_size=4).map(lambda names: "/".join(("/v1/AUTH_p1", *names))),
    st.lists(NAMES, max_size=3).map(lambda names: "/" + "/".join(names)),
)
PARAMETERS = st.sampled_from(
    (
        "limit",
        "marker",
        "end_marker",
        "prefix",
        "delimiter",
        "reverse",
        "format",
        "bulk-delete",
        "multipart-manifest",
        "path",
    )
)
QUERIES = st.lists(st.tuples(PARAMETERS, NAMES), max_size=3).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
FIELDS = st.dictionaries(
    st.sampled_from(
        (
            "range",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-range",
            "etag",
            "accept",
            "content-type",
            "destination",
            "x-copy-from",
            "x-object-manifest",
            "x-object-meta-a",
            "x-container-read",
            "x-container-write",
            "x-container-meta-b",
            "x-remove-container-meta-b",
            "x-account-meta-c",
            "x-fresh-metadata",
            "x-copy-from-account",
            "destination-account",
            "x-storage-policy",
        )
    ),
    st.one_of(
        st.sampled_from(
            ("*", "bytes=0-0,-1", "bytes=5-", "c/o", "/c/%25", "c/", "text/plain", "application/json", ".r:*", "*:*")
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12).map(
            str.strip
        ),
    ),
    max_size=4,
)


class AnyRequestTests(FaceCase):
    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
    @given(METHODS, PATHS, QUERIES, FIELDS, st.sampled_from((ALICE, BOB, ADMIN, None, "bad")), st.none() | st.binary())
    def test_answered(
        self, method: str, path: str, query: str, fields: dict[str, str], token: str | None, body: bytes | None
    ) -> None:
        """Every request gets an answer below 500, or 501 for what is not here."""

        async def one() -> int:
            await self.put_container("c")
            if not self.uploads:
                await self.put_object("c", "o", b"0123456789")
            headers: dict[str, str | bytes] = {name: value.encode("latin-1") for name, value in fields.items()}
            return (await self.ask(method, f"{path}?{query}", headers, body=body, token=token)).status

        status = self.successResultOf(Deferred.fromCoroutine(one()))
        self.assertTrue(200 <= status < 500 or status == 501, status)
        self.assertEqual(self.open_readings(), 0)
        self.assert_nothing_left()
