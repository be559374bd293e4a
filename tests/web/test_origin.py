"""What other sites in the same browser may have the page's server do: nothing."""

from __future__ import annotations

from tests.web.page import OWN, PageTests

LOGIN = {"user": "admin", "password": "x"}


class OriginTests(PageTests):
    async def change(self, headers: dict[str, str], host: str = "cloud") -> int:
        """The status of a log-out."""
        answer = await self.page.request("POST", "/ui/api/logout", headers=headers, body=b"{}", host=host)
        return answer.status

    async def test_changes(self) -> None:
        """Only the page itself logs in and out; a page on another port of this host is of the same site, not it."""
        for headers in (
            {},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://cloud"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://cloud"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://evil"},
            {"Origin": "null"},
            {"Origin": "http://cloud:8080"},
            {"Origin": "http://cloud.evil"},
            {"Sec-Fetch-Site": "same-origin, cross-site"},
        ):
            self.assertEqual(await self.change(headers), 403, headers)
            answer = await self.page.json("POST", "/ui/api/login", LOGIN, headers=headers)
            self.assertEqual((answer.status, "set-cookie" in answer.headers), (403, False), headers)

    async def test_own(self) -> None:
        """The page, by what a browser of today or of yesterday says of it, also behind a proxy that ends TLS."""
        self.assertEqual(await self.change(OWN), 204)
        self.assertEqual(await self.change({"Origin": "http://cloud"}), 204)
        self.assertEqual(await self.change({"Origin": "https://cloud"}), 204)
        self.assertEqual(await self.change({"Origin": "http://cloud:5000"}, host="inside:1"), 204)

    async def test_reading(self) -> None:
        """Data goes to the page, to an address typed by hand, and to a program that has the cookie; no other site."""
        mine = await self.cookie()
        for site, status in (("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)):
            answer = await self.page.request("GET", "/ui/api/status", headers={**mine, "Sec-Fetch-Site": site})
            self.assertEqual(answer.status, status, site)
        self.assertEqual((await self.get("/api/status", Cookie=mine["Cookie"])).status, 200)
