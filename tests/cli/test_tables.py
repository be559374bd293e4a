"""How ``cloudctl`` writes times, spans and names for people."""

from __future__ import annotations

from msgspec import structs
from rich.console import Console, RenderableType
from twisted.trial.unittest import SynchronousTestCase

from cloudd.cli._tables import audit_view, outcome_view, plan_view, status_view
from cloudd.control import (
    Actor,
    Audit,
    AuditEntry,
    CodeStatus,
    GenerationStatus,
    Outcome,
    Plan,
    Progress,
    Status,
    WorkerStatus,
)


def text_of(view: RenderableType, columns: int = 100) -> str:
    """What a terminal shows."""
    console = Console(width=columns, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def status_up(seconds: float, state: str = "/s") -> Status:
    """A host that began so many seconds before 1,000,000."""
    code = CodeStatus(start_tree="/t", started_from="a", hash="b", previous_hash="", generation=1, since=0.0)
    return Status(version="1", pid=1, state=state, started_at=1_000_000 - seconds, code=code,
                  upgrade=Progress(step="stage", text="copying abc"))  # fmt: skip


class TableTests(SynchronousTestCase):
    def test_spans_and_times(self) -> None:
        """Two units at most, times in UTC."""
        for seconds, text in ((-5, "up 0 s"), (59, "up 59 s"), (61, "up 1 min 1 s"), (3_700, "up 1 h 1 min"),
                              (180_000, "up 2 d 2 h")):  # fmt: skip
            self.assertIn(text, text_of(status_view(status_up(seconds), 1_000_000)))
        self.assertIn("since 1970-01-01 00:00:00 UTC", text_of(status_view(status_up(1), 1_000_000)))

    def test_a_change_under_way_and_no_way_back(self) -> None:
        """Both are said."""
        shown = text_of(status_view(status_up(1), 1_000_000))
        self.assertIn("under way", shown)
        self.assertIn("stage: copying abc", shown)
        self.assertRegex(shown, r"previous\s+none")

    def test_the_workers_fit_on_eighty_columns(self) -> None:
        """No cell is cut or wrapped on a plain terminal."""
        serving = GenerationStatus(number=123, hash="a" * 64, state="serving", connections=10_000, requests_total=10**7)
        workers = [
            WorkerStatus(name="front-10", role="front", pid=4_194_304, ready=True, started_at=0, generations=[serving]),
            WorkerStatus(name="agent-0", role="agent", pid=78, ready=False, started_at=0, restarts=2),
            WorkerStatus(name="front-11", role="front", pid=79, ready=False, started_at=0, restarts=1),
        ]
        status = structs.replace(status_up(1), workers=workers)
        shown = text_of(status_view(status, 1_000_000), 80)
        row = next(line for line in shown.splitlines() if "front-10" in line)
        self.assertEqual(" ".join(row.split()), "front-10 4194304 11 d 13 h 123 aaaaaaaa serving 10000 0 10000000")
        self.assertIn("not ready", shown)
        self.assertIn("agent-0: restarted 2 times", shown)
        self.assertIn("front-11: restarted once", shown)

    def test_what_vouched_for_the_code(self) -> None:
        """An audit entry shows it below the cause, when there was something."""
        who = Actor(uid=0, pid=1, user="root")
        for manifest, shown in (("fits, signed", True), ("absent", False), ("", False)):
            entry = AuditEntry(time=0, who=who, action="upgrade", result="committed", cause="why", manifest=manifest)
            text = text_of(audit_view(Audit(entries=[entry])))
            self.assertEqual(("manifest: fits, signed" in text, "why" in text), (shown, True))

    def test_what_the_canary_saw(self) -> None:
        """The outcome and the audit log have it, and how long the way back took."""
        outcome = Outcome(action="upgrade", result="failed", cause="why", canary="5 %: 3 requests", rollback_s=0.012)
        shown = text_of(outcome_view(outcome))
        self.assertIn("canary: 5 %: 3 requests", shown)
        self.assertIn("served again 12 ms after", shown)
        entry = AuditEntry(
            time=0, who=Actor(uid=0, pid=1, user="root"), action="upgrade", result="failed", canary="5 %: 3 requests"
        )
        self.assertIn("canary: 5 %: 3 requests", text_of(audit_view(Audit(entries=[entry]))))

    def test_brackets_are_shown_as_they_are(self) -> None:
        """A path or a cause is text, not markup."""
        self.assertIn("/srv/[red]", text_of(status_view(status_up(1, "/srv/[red]"), 0)))
        self.assertIn("[upgrade] trees", text_of(plan_view(Plan(tree="/[b]", kind="refused", cause="[upgrade] trees"))))

    def test_long_lists_of_modules_are_cut(self) -> None:
        """The first twenty, and how many more there are."""
        names = [f"cloudd.m{number}" for number in range(25)]
        shown = text_of(plan_view(Plan(tree="/t", kind="swap", swappable=names, manifest="fits")))
        self.assertIn("cloudd.m19", shown)
        self.assertNotIn("cloudd.m20", shown)
        self.assertIn("and 5 more", shown)

    def test_every_result_has_its_sentence(self) -> None:
        """Which one it was is clear without colours."""
        for result, word in (("committed", "done"), ("unchanged", "nothing to do"), ("refused", "refused"),
                             ("busy", "not now"), ("failed", "as before")):  # fmt: skip
            outcome = Outcome(action="rollback", result=result, cause="why")  # type: ignore[arg-type]
            self.assertIn(f"roll back: {word}" if result != "failed" else word, text_of(outcome_view(outcome)))
