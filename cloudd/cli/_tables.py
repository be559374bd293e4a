# -*- test-case-name: tests.cli.test_tables -*-
"""What ``cloudctl`` shows to people: messages in, rich tables and texts out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cloudd.control import Audit, GenerationStatus, Health, Outcome, Plan, Status, WorkerStatus

SHORT_HASH = 12
TINY_HASH = 8  # where columns are scarce
MAX_MODULES = 20
_RESULT_STYLES = {"committed": "green", "unchanged": "green", "refused": "yellow", "busy": "yellow", "failed": "red"}


def status_view(status: Status, now: float, *, modules: bool = False) -> RenderableType:
    """The host in three parts: facts, code, workers with their generations."""
    facts = _grid()
    facts.add_row("cloudd", f"{status.version}, process {status.pid}, up {_span(now - status.started_at)}")
    facts.add_row("state", status.state)
    for face, url in status.urls.items():
        facts.add_row(face, url)
    code = status.code
    facts.add_row("code", f"{short(code.hash)}, generation {code.generation}, since {_when(code.since)}")
    warned = f" ({code.previous_warning})" if code.previous_warning else ""
    facts.add_row("previous", Text((short(code.previous_hash) or "none") + warned))
    facts.add_row("started from", f"{code.start_tree} ({short(code.started_from)})")
    if status.upgrade is not None:
        facts.add_row("under way", f"{status.upgrade.step}: {status.upgrade.text}")
    workers = [*status.workers, *(_named_leaving(worker) for worker in status.leaving)]
    parts: list[RenderableType] = [facts, _workers_table(workers, now)]
    parts += _remarks(status.workers)
    if modules:
        parts.append(_modules_table(status.workers))
    return Group(*parts)


def health_view(health: Health) -> RenderableType:
    """Each part with its state and, where it fails, the cause."""
    table = _table("part", "status")
    table.add_column("cause", overflow="fold")
    for name, part in sorted(health.parts.items()):
        state = part.get("status", "")
        table.add_row(Text(name), Text(state, style="green" if state == "ok" else "red"), Text(part.get("cause", "")))
    return Group(Text(health.status, style="green" if health.status == "ok" else "red"), table)


def plan_view(plan: Plan) -> RenderableType:
    """What an upgrade would do, in a sentence, and with which modules."""
    sentences = {
        "nothing": "Nothing to do: the tree holds the code that runs already.",
        "swap": f"A swap is enough: {_count(plan.swappable, 'module')} will be loaded as generation {plan.generation}.",
        "hand-over": f"A hand-over to new processes is needed, as generation {plan.generation}: {plan.cause}.",
        "refused": f"Refused: {plan.cause}.",
    }
    grid = _grid()
    grid.add_row("tree", Text(plan.tree))
    grid.add_row("code", f"{short(plan.running_hash)} -> {short(plan.target_hash) or 'unknown'}")
    if plan.manifest:
        grid.add_row("manifest", Text(plan.manifest))
    for label, names in (("swap", plan.swappable), ("kernel", plan.kernel)):
        if names:
            grid.add_row(label, Text("\n".join(_shortened(names))))
    for label, words in (("why so", plan.reason), ("canary", plan.canary), ("not moved", "\n".join(plan.not_exported))):
        if words:
            grid.add_row(label, Text(words))
    return Group(grid, Text(sentences[plan.kind]), *_warnings(plan.warnings))


def outcome_view(outcome: Outcome) -> RenderableType:
    """How a change ended."""
    if outcome.action == "migrate":
        return _moved_view(outcome)
    name = {"upgrade": "upgrade", "rollback": "roll back", "start": "start"}[outcome.action]
    sentences = {
        "committed": f"{name}: done in {outcome.duration_s:.2f} s; generation {outcome.generation} "
        f"({short(outcome.new_hash)}) serves, {_count(outcome.changed, 'module')} changed",
        "unchanged": f"{name}: nothing to do: {outcome.cause}",
        "refused": f"{name}: refused: {outcome.cause}",
        "busy": f"{name}: not now: {outcome.cause}",
        "failed": f"{name}: failed, everything is as before: {outcome.cause}",
    }
    lines = [Text(sentences[outcome.result], style=_RESULT_STYLES[outcome.result])]
    if outcome.canary:
        lines.append(Text(f"canary: {outcome.canary}"))
    if outcome.how == "hand-over" and outcome.result == "committed":
        pause = f"the longest stood still for {outcome.pause_s * 1000:.0f} ms"
        lines.append(Text(f"{_count_of(outcome.moved, 'connection')} moved at once; {pause}"))
        lines += [Text(f"{count} will follow: {reason}") for reason, count in outcome.follow.items()]
    if outcome.rollback_s:
        lines.append(Text(f"the old code alone served again {outcome.rollback_s * 1000:.0f} ms after that was seen"))
    return Group(*lines, *_warnings(outcome.warnings))


def _moved_view(outcome: Outcome) -> RenderableType:
    """How a move of the control database ended."""
    rows = f"{_count_of(sum(outcome.rows.values()), 'record')}, " if outcome.rows else ""
    sentences = {
        "committed": f"moved in {outcome.duration_s:.2f} s: {rows}writes waited for {outcome.pause_s * 1000:.0f} ms; "
        f"{outcome.cause}",
        "unchanged": f"it can be done: {outcome.cause}",
        "refused": f"refused: {outcome.cause}",
        "busy": f"not now: {outcome.cause}",
        "failed": f"failed, the records are where they were: {outcome.cause}",
    }
    line = Text(sentences[outcome.result], style=_RESULT_STYLES[outcome.result])
    return Group(line, *_warnings(outcome.warnings))


def _count_of(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _warnings(warnings: Iterable[str]) -> list[Text]:
    return [Text(f"warning: {warning}", style="yellow") for warning in warnings]


def audit_view(audit: Audit) -> RenderableType:
    """Entries, oldest first: a line each, and below it the cause."""
    lines: list[RenderableType] = [Text("older entries were left out: see --limit")] if audit.more else []
    for entry in audit.entries:
        who = f"{entry.who.user} ({entry.who.pid})"
        head = Text(f"{_when(entry.time)}  {who:<14} {entry.action:<8} ")
        head.append(f"{entry.result:<9}", style=_RESULT_STYLES.get(entry.result, ""))
        lines.append(
            head.append(f" {entry.old_hash[:TINY_HASH] or '-':<{TINY_HASH}} -> {entry.new_hash[:TINY_HASH] or '-'}")
        )
        tried = f"canary: {entry.canary}" if entry.canary else ""
        vouched = f"manifest: {entry.manifest}" if entry.manifest not in {"", "absent"} else ""
        origin = f"from: {entry.who.origin}" if entry.who.origin else ""
        lines += [
            Padding(Text(remark), (0, 0, 0, 4), expand=False)
            for remark in filter(None, (entry.cause, tried, vouched, origin))
        ]
    return Group(*lines)


def short(digest: str) -> str:
    """The beginning of a hash, enough to tell trees apart."""
    return digest[:SHORT_HASH]


def _workers_table(workers: list[WorkerStatus], now: float) -> Table:
    table = _table("worker", "pid", "up", "gen", "code", "state")
    for label in ("conns", "busy", "requests"):
        table.add_column(label, justify="right", no_wrap=True)
    for worker in workers:
        head = [worker.name, str(worker.pid or ""), _span(now - worker.started_at)]
        if not worker.ready:
            table.add_row(*head, "", "", Text("not ready", style="red"), "", "", "")
        for generation in worker.generations:
            table.add_row(*head, *_generation_cells(generation))
            head = ["", "", ""]
    return table


def _named_leaving(worker: WorkerStatus) -> WorkerStatus:
    return msgspec.structs.replace(worker, name=f"{worker.name}, leaving")


def _generation_cells(generation: GenerationStatus) -> list[str]:
    return [
        str(generation.number),
        generation.hash[:TINY_HASH],
        generation.state,
        str(generation.connections),
        str(generation.requests_running),
        str(generation.requests_total),
    ]


def _remarks(workers: list[WorkerStatus]) -> list[RenderableType]:
    restarts = [f"{worker.name}: restarted {_times(worker.restarts)}" for worker in workers if worker.restarts]
    holders = [
        f"{worker.name}: generation {generation.number} is still held: {holder}"
        for worker in workers
        for generation in worker.generations
        for holder in generation.holders
    ]
    return [Text(remark, style="yellow") for remark in (*restarts, *holders)]


def _modules_table(workers: list[WorkerStatus]) -> Table:
    table = _table("module", "gen", "hash", "workers")
    found: dict[tuple[str, int, str], int] = {}
    for worker in workers:
        for generation in worker.generations:
            for name, digest in generation.modules.items():
                key = (name, generation.number, digest)
                found[key] = found.get(key, 0) + 1
    for (name, number, digest), count in sorted(found.items()):
        table.add_row(name, str(number), short(digest), str(count))
    return table


def _table(*labels: str) -> Table:
    """A table that fits on 80 columns, of cells that are never cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for label in labels:
        table.add_column(label, no_wrap=True)
    return table


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    return grid


def _shortened(names: list[str]) -> Iterable[str]:
    rest = len(names) - MAX_MODULES
    return [*names[:MAX_MODULES], f"and {rest} more (--json shows all)"] if rest > 0 else names


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, unit, smaller_size, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"
