"""The page in a real browser, of a real daemon: log-in, health, an upgrade seen live, failing parts, accessibility."""

from __future__ import annotations

import atexit
import http.client
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.running_cloud import CHECKOUT, RunningCloud
from tests.web.browser import Browser, Page, chromium

PACKAGES = ("cloudd", "net", "reload", "storage", "twisted")
#: Screenshots for people are put there when this names a folder.
SHOTS = os.environ.get("CLOUDD_SCREENSHOTS", "")

#: Appended to a copy of the tree: the new code takes two seconds to check itself, so that each step can be seen.
PATIENT_CHECK = """

_check_faces = check_faces


async def check_faces(faces, resources):
    from twisted.internet.task import deferLater

    await deferLater(resources.reactor, 2, lambda: None)
    await _check_faces(faces, resources)
"""

#: Keeps all that a place on the page ever said.
WATCH = """
window.said = [];
new MutationObserver(() => said.push(document.querySelector("#progress-text").textContent))
  .observe(document.querySelector("#progress"), { subtree: true, childList: true, characterData: true });
new MutationObserver(() => said.push(`step: ${document.querySelector("[aria-current=step]")?.textContent}`))
  .observe(document.querySelector("#steps"), { subtree: true, childList: true });
new MutationObserver(() => said.push(`state: ${document.querySelector("#answer").dataset.state}`))
  .observe(document.querySelector("#answer"), { attributes: true });
new MutationObserver(() => said.push(`link: ${document.querySelector("#link-text").textContent}`))
  .observe(document.querySelector("#link"), { subtree: true, childList: true, characterData: true });
"""


@cache
def axe() -> str:
    """The script of axe-core, out of the package that brings it."""
    found = importlib.util.find_spec("axe_core_python")
    assert found is not None and found.submodule_search_locations, "axe-core-python is not installed"
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@cache
def browser() -> Browser:
    """One for all tests of this process; their pages share nothing."""
    started = Browser()
    atexit.register(started.close)
    return started


class BrowserCase(SynchronousTestCase):
    """A daemon of a tree of its own."""

    settings = "[workers]\nfront = 2\n[upgrade]\ncanary_period_s = 1\nwindow_s = 3\n"

    def setUp(self) -> None:
        if chromium() is None:
            raise SkipTest("Chromium is not installed: script/setup test, as root")
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-page-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tree = self.folder / "tree"
        for name in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
            shutil.copytree(CHECKOUT / name, self.tree / name, ignore=ignored)
        self.cloud = RunningCloud(self.settings, self.tree)
        self.addCleanup(self.cloud.remove)
        self.cloud.start()

    def open(self) -> Page:
        page = browser().open(self.cloud.url("api") + "/ui")
        self.addCleanup(page.close)
        page.wait("document.activeElement?.id === 'user'", "the form has the focus")
        return page

    def log_in(self, page: Page, cloud: str = "cloudd-admin", password: str = "") -> None:
        """Fill the form in and send it with the keyboard."""
        user, right = self.cloud.login(cloud)
        page.type("#user", user)
        page.type("#password", password or right)
        page.press("Enter")

    def logged_in(self) -> Page:
        page = self.open()
        self.log_in(page)
        page.wait("document.querySelector('#verdict').textContent === 'Production is healthy'", "healthy")
        page.wait("document.querySelectorAll('#audit tbody tr').length > 0", "the audit log")
        page.wait("document.querySelector('#plan .tag')", "the plan")
        page.wait("document.querySelector('#chart-requests svg')", "the charts")
        return page

    def cloudctl(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [
            str(Path(sys.executable).parent / "cloudctl"),
            "--state",
            str(self.cloud.state),
            "--json",
            *arguments,
        ]
        environment = {**os.environ, "PYTHONPATH": str(self.tree)}
        process = subprocess.Popen(
            command, cwd=self.tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def ends(self, process: subprocess.Popen[bytes], status: int) -> None:
        """Wait for a command, which ends so."""
        output = process.communicate(timeout=120)[0]
        self.assertEqual(process.returncode, status, output.decode())

    def change(self, name: str, addition: str) -> None:
        """Append to a file of the tree."""
        with (self.tree / name).open("a") as file:
            file.write(addition)

    def look(self, page: Page, name: str) -> None:
        """A screenshot for people."""
        if SHOTS:
            page.screenshot(Path(SHOTS) / f"{name}.png")

    def accessible(self, page: Page, name: str) -> None:
        """No rule of axe-core is broken: labels, contrast, structure, names."""
        self.look(page, name)
        page.call("Page.setBypassCSP", enabled=True)
        if not page.run("typeof axe === 'object'"):
            page.run(axe() + ";true")
        broken, passed = page.run("axe.run().then((found) => [found.violations, found.passes.length])")
        self.assertEqual([(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in broken], [], name)
        self.assertGreater(passed, 10)

    def fits(self, page: Page, name: str) -> None:
        """Nothing but what scrolls by itself is wider than the window."""
        wide, window = page.run("[document.documentElement.scrollWidth, innerWidth]")
        self.assertLessEqual(wide, window, name)


class LoginTests(BrowserCase):
    def test_log_in_and_out(self) -> None:
        """A wrong password says so; a tenant is told why not; an operator gets in, stays in, and gets out."""
        page = self.open()
        self.accessible(page, "login")
        self.log_in(page, password="wrong")
        page.wait("document.querySelector('#login-error').textContent", "the refusal")
        self.assertEqual(page.text("#login-error"), "User, password, domain or project is wrong.")
        page.type("#project", "demo")
        self.log_in(page, cloud="cloudd")
        page.wait("document.querySelector('#login-error').textContent.includes('role admin')", "the reason")
        self.accessible(page, "login-refused")
        self.assertEqual(page.run("document.cookie"), "")
        page.type("#project", "admin")
        self.log_in(page)
        page.wait("document.querySelector('#verdict').textContent === 'Production is healthy'", "healthy")
        [cookie] = page.call("Network.getCookies")["cookies"]
        self.assertEqual((cookie["httpOnly"], cookie["sameSite"], cookie["path"]), (True, "Strict", "/ui"))
        self.assertEqual(page.run("document.cookie"), "")
        page.call("Page.reload")
        page.wait("document.querySelector('#verdict')?.textContent === 'Production is healthy'", "healthy again")
        page.run("document.querySelector('#logout').click()")
        page.wait("document.activeElement?.id === 'user'", "the form again")
        self.assertEqual(page.call("Network.getCookies")["cookies"], [])
        self.assertEqual(page.run("fetch('/ui/api/status').then((answer) => answer.status)"), 401)

    def test_token_revoked(self) -> None:
        """When the token ends elsewhere the page asks to log in again, and shows nothing more."""
        page = self.logged_in()
        page.run("fetch('/ui/api/logout', { method: 'POST', headers: { 'Content-Type': 'application/json' } })")
        page.run("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait("!document.querySelector('#login').hidden", "the form")
        self.assertTrue(page.run("document.querySelector('#page').hidden"))


class UpgradeTests(BrowserCase):
    def test_seen_live(self) -> None:
        """The plan, each step and the result of an upgrade appear on a page that is never loaded again."""
        page = self.logged_in()
        self.assertEqual(page.text("#figure-generation"), "1")
        self.assertIn("nothing to do", page.text("#plan"))
        self.change("cloudd/face_checks.py", PATIENT_CHECK)
        page.run("document.querySelector('#plan-again').click()")
        page.wait("document.querySelector('#plan').textContent.includes('cloudd.face_checks')", "the new plan")
        self.assertIn("1 module would become generation 2", page.text("#plan"))
        page.wait("document.querySelector('#link').textContent.includes('Live')", "the event stream")
        page.run(WATCH)
        upgrade = self.cloudctl("upgrade", "--yes")
        page.wait("document.querySelector('#progress').dataset.running === 'yes'", "progress")
        page.wait("said.includes('step: prepare')", "the step")
        self.look(page, "upgrading")
        self.ends(upgrade, 0)
        page.wait("document.querySelector('#figure-generation').textContent === '2'", "the new generation")
        page.wait("document.querySelector('#last').textContent.includes('committed')", "the result")
        page.wait("document.querySelector('#plan').textContent.includes('nothing to do')", "nothing more to do")
        page.wait("document.querySelector('#audit').textContent.includes('generation 2')", "the entry")
        self.assertIn("Generation 2", page.text("#workers"))
        said = page.run("said")
        self.assertTrue([text for text in said if "loading generation 2" in text.lower()], said)
        self.assertEqual({text for text in said if text.startswith(("state", "link"))} - {"state: ok"}, set())
        self.assertEqual(page.text("#link").strip(), "Live")
        self.assertEqual(len([url for url in page.requests if url.endswith("/ui/events")]), 1)
        self.assertEqual((page.loads, page.complaints), (1, []))

    def test_all_nodes(self) -> None:
        """A rolling upgrade, here of one node, is seen with its node's states, and the way back when it is done."""
        page = self.logged_in()
        self.assertTrue(page.run("document.querySelector('#cloud').hidden"))
        self.change("cloudd/face_checks.py", PATIENT_CHECK)
        page.wait("document.querySelector('#link').textContent.includes('Live')", "the event stream")
        rolling = self.cloudctl("upgrade", "--rolling", "--settle", "2s", "--yes")
        page.wait("document.querySelector('#cloud-nodes').textContent.includes('settling')", "the node's state")
        self.look(page, "rolling")
        self.ends(rolling, 0)
        page.wait("document.querySelector('#cloud-line').textContent.includes(': done, 1 of 1 node')", "the end")
        self.assertIn("cloudctl rollback --rolling", page.text("#cloud-next"))
        self.accessible(page, "rolled")
        self.fits(page, "rolled")

    def test_hand_over(self) -> None:
        """New processes take over: the same page on the same connection shows each step, and their numbers."""
        page = self.logged_in()
        pids = page.run("document.querySelector('#workers').textContent.match(/PID [0-9]+/g)")
        self.change("cloudd/daemon/_health.py", "\n# a change to the kernel\n")
        page.run("document.querySelector('#plan-again').click()")
        page.wait("document.querySelector('#plan').textContent.includes('hand-over')", "the new plan")
        page.wait("document.querySelector('#link').textContent.includes('Live')", "the event stream")
        page.run(WATCH)
        upgrade = self.cloudctl("upgrade", "--yes")
        page.wait("document.querySelector('#progress').dataset.running === 'yes'", "progress")
        page.wait("said.includes('step: supervise')", "the last step")
        self.look(page, "handing-over")
        self.ends(upgrade, 0)
        page.wait("document.querySelector('#figure-generation').textContent === '2'", "the new generation")
        page.wait("document.querySelector('#last').textContent.includes('committed')", "the result")
        page.wait("document.querySelector('#plan').textContent.includes('nothing to do')", "nothing more to do")
        after = page.run("document.querySelector('#workers').textContent.match(/PID [0-9]+/g)")
        self.assertEqual((len(after), set(after) & set(pids)), (len(pids), set()))
        said = page.run("said")
        self.assertEqual({text for text in said if text.startswith(("state", "link"))} - {"state: ok"}, set())
        self.assertEqual(len([url for url in page.requests if url.endswith("/ui/events")]), 1)
        self.assertEqual((page.loads, page.complaints), (1, []))

    def test_generations(self) -> None:
        """An upload that began in the old code is shown there until it ends."""
        page = self.logged_in()
        user, password = self.cloud.login("cloudd")
        upload = http.client.HTTPConnection("127.0.0.1", self.cloud.ports["object"], timeout=60)
        self.addCleanup(upload.close)
        upload.request("GET", "/auth/v1.0", headers={"X-Auth-User": f"demo:{user}", "X-Auth-Key": password})
        answer = upload.getresponse()
        answer.read()
        account, token = answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]
        path = "/v1/" + account.rpartition("/")[2]
        upload.request("PUT", f"{path}/box", headers={"X-Auth-Token": token, "Content-Length": "0"})
        upload.getresponse().read()
        upload.putrequest("PUT", f"{path}/box/cat.jpg")
        upload.putheader("X-Auth-Token", token)
        upload.putheader("Content-Length", "2000000")
        upload.endheaders()
        upload.send(b"x" * 1_000_000)
        self.change("cloudd/objects/__init__.py", "\n# other code\n")
        self.ends(self.cloudctl("upgrade", "--yes", "--canary", "0"), 0)
        page.wait("document.querySelector('#workers').textContent.includes('ending')", "both generations")
        old = page.run("[...document.querySelectorAll('#workers tfoot td')].at(-1).textContent")
        self.assertEqual(old, "1 connection1 request running")
        self.accessible(page, "two-generations")
        page.resize(360, 780)
        self.fits(page, "two generations")
        upload.send(b"x" * 1_000_000)
        self.assertEqual(upload.getresponse().status, 201)
        # Its last request has ended; until its memory is freed it is shown without any.
        page.wait(
            "[...document.querySelectorAll('#workers tfoot td')].slice(1).every((one) => one.textContent[0] === '0')",
            "nothing left in the old generation",
        )
        self.assertEqual((page.loads, page.complaints), (1, []))

    def test_new_page(self) -> None:
        """An upgrade of the page itself goes on in the old one, which offers the new one."""
        page = self.logged_in()
        self.change("cloudd/web/page.css", "\nh1 { font-style: italic; }\n")
        self.ends(self.cloudctl("upgrade", "--yes"), 0)
        page.wait("!document.querySelector('#newer').hidden", "the offer")
        page.run("document.querySelector('#newer a').click()")
        page.wait("getComputedStyle(document.querySelector('h1')).fontStyle === 'italic'", "the new style")
        page.wait("document.querySelector('#verdict').textContent === 'Production is healthy'", "healthy")
        self.assertEqual((page.loads, page.complaints), (2, []))

    def test_bad_code(self) -> None:
        """Code that does not work changes nothing, and the page says what was wrong with it."""
        page = self.logged_in()
        self.change("cloudd/objects/__init__.py", "\nraise ValueError('<b>broken</b>')\n")
        self.ends(self.cloudctl("upgrade", "--yes"), 1)
        page.wait("document.querySelector('#last').textContent.includes('failed')", "the result")
        self.assertIn("<b>broken</b>", page.text("#last"))
        self.assertIn("<b>broken</b>", page.text("#audit"))
        self.assertEqual(page.text("#figure-generation"), "1")
        page.wait("document.querySelector('#plan').textContent.includes('warning')", "the plan warns")
        self.look(page, "failed-upgrade")
        self.assertEqual((page.loads, page.complaints), (1, []))


class StateTests(BrowserCase):
    def test_failing_part(self) -> None:
        """A worker that hangs is the answer to how production is doing, with its cause; and so is its recovery."""
        page = self.logged_in()
        pid = next(worker["pid"] for worker in self.status(page)["workers"] if worker["name"] == "agent")
        os.kill(pid, signal.SIGSTOP)
        try:
            page.wait("document.querySelector('#verdict').textContent.includes('worker agent')", "the failing part")
            self.assertEqual(page.text("#verdict"), "1 part is failing: worker agent")
            self.assertIn("It does not answer", page.text("#causes"))
            self.assertIn("worker agent", page.text("#parts li:first-child"))
            page.wait("document.querySelector('#workers').textContent.includes('not ready')", "the worker")
            self.assertIn("1 part failing", page.run("document.title"))
            self.assertEqual(page.text("#announcer"), "1 part is failing: worker agent")
            self.accessible(page, "failing-light")
            page.prefer(prefers_color_scheme="dark")
            self.accessible(page, "failing-dark")
        finally:
            os.kill(pid, signal.SIGCONT)
        page.wait("document.querySelector('#verdict').textContent === 'Production is healthy'", "healthy again")
        self.assertEqual(page.complaints, [])

    def test_host_gone(self) -> None:
        """A host that does not answer is said to, and what is shown is not passed off as the present."""
        page = self.logged_in()
        self.cloud.stop()
        page.wait("document.querySelector('#answer').dataset.state === 'unknown'", "the notice")
        self.assertEqual(page.text("#verdict"), "The host does not answer")
        page.wait("document.querySelector('#link').textContent.includes('No connection')", "the state")
        self.look(page, "host-gone")
        self.cloud.start()
        page.wait("document.querySelector('#verdict').textContent === 'Production is healthy'", "an answer")
        page.wait("document.querySelector('#link').dataset.state === 'live'", "the connection")
        self.assertEqual(page.loads, 1)

    def test_accessible(self) -> None:
        """Light and dark, wide and narrow: no rule broken, nothing too wide, and all of it reached by keyboard."""
        page = self.logged_in()
        page.wait("document.querySelector('#chart-requests path.requests')", "a line")
        for scheme in ("light", "dark"):
            page.prefer(prefers_color_scheme=scheme)
            for width, height in ((1280, 900), (800, 900), (360, 780)):
                page.resize(width, height)
                self.accessible(page, f"page-{scheme}-{width}")
                self.fits(page, f"{scheme} {width}")
        page.run("document.body.focus()")
        reached = []
        for _ in range(20):
            page.press("Tab")
            reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
        for wanted in ("logout", "workers-scroll", "plan-again", "SUMMARY"):
            self.assertIn(wanted, reached)

    def test_still(self) -> None:
        """Nothing moves once the page is there, and nothing at all for who wants less motion."""
        page = self.logged_in()
        page.prefer(prefers_reduced_motion="reduce")
        page.run("""
            window.shift = 0;
            new PerformanceObserver((list) => { for (const entry of list.getEntries()) shift += entry.value; })
              .observe({ type: "layout-shift", buffered: false });
        """)
        before = len([url for url in page.requests if url.endswith("/rates")])
        while len([url for url in page.requests if url.endswith("/rates")]) < before + 2:
            page.wait("true", "time")
        self.assertLess(page.run("shift"), 0.01)
        self.assertEqual(page.run("document.getAnimations().length"), 0)

    def status(self, page: Page) -> Any:
        return json.loads(page.run("fetch('/ui/api/status').then((answer) => answer.text())"))
