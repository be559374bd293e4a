# -*- test-case-name: tests.rolling.test_plan -*-
"""
What a rolling upgrade would do, and what stands against it.  Nothing here waits: ``_survey`` has asked for the facts.

Order: by name, and last the node that plans, so that the task which leads it need not move more often than once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from cloudd.nodes import Node, Release

from ._progress import AWAY_ALLOWED, NodeProgress


@frozen(kw_only=True)
class NodeView:
    """
    One node, as it was found.

    :ivar plan: ``cloudd.control.Plan`` as plain data; None: it could not be asked
    :ivar trouble: what is wrong with it; empty: nothing
    """

    row: Node
    plan: Mapping[str, Any] | None = None
    trouble: str = ""

    @property
    def runs(self) -> str:
        """Hash of its code: as it says now, else as it said last, which a change of a moment ago makes wrong."""
        return str((self.plan or {}).get("running_hash", "")) or self.row.code_hash


@frozen(kw_only=True)
class Survey:
    """
    The cloud, as it was found.

    :ivar own_id: of the node that looks
    :ivar code_revision: of the tables, as the new code wants them; empty: it could not be read
    :ivar oldest_revision: of the oldest release that runs on the tables as they are
    :ivar release: that can be gone back from; None: there is none
    :ivar open_task: id of a rolling change that is not done; empty: there is none
    """

    own_id: str
    nodes: Sequence[NodeView]
    lost_s: float
    code_revision: str = ""
    oldest_revision: str = ""
    release: Release | None = None
    open_task: str = ""


@frozen(kw_only=True)
class RollingPlan:
    """
    :ivar nodes: in the order of their turns, those that are away too
    :ivar causes: what stands against it; empty: nothing
    :ivar may_pass: whether it is such as may be over in some seconds: a node is unwell, or does not answer
    """

    target_hash: str
    nodes: Sequence[NodeView]
    causes: Sequence[str] = ()
    may_pass: bool = False
    warnings: Sequence[str] = ()

    def progress(self) -> list[NodeProgress]:
        """With what it begins."""
        return [NodeProgress(id=view.row.id, name=view.row.name, before=view.runs) for view in self.nodes]

    def payloads(self) -> dict[str, list[int]]:
        """Versions of each payload that all of the earlier code reads."""
        found: dict[str, set[int]] = {}
        for view in self.nodes:
            if view.runs == self.target_hash:
                continue
            for name, versions in view.row.payloads.items():
                found[name] = found.get(name, set(versions)) & set(versions)
        return {name: sorted(versions) for name, versions in found.items()}


def examine(survey: Survey) -> RollingPlan:
    """Make the plan."""
    views = sorted(survey.nodes, key=lambda view: (view.row.id == survey.own_id, view.row.name))
    present = [view for view in views if not _is_away(view, survey)]
    targets = {str(view.plan["target_hash"]) for view in present if view.plan and view.plan.get("target_hash")}
    target = min(targets) if len(targets) == 1 else ""
    lasting = [
        *_against_nodes(views, present),
        *_against_code(present, target, differ=not target and bool(targets)),
        *_against_cloud(survey, target),
    ]
    causes = [*lasting, *_of_the_moment(present)]
    return RollingPlan(
        target_hash=target, nodes=views, causes=causes, may_pass=not lasting, warnings=_warnings(views, present)
    )


def _is_away(view: NodeView, survey: Survey) -> bool:
    return view.row.state == "joining" or view.row.is_lost(survey.lost_s)


def _against_nodes(views: Sequence[NodeView], present: Sequence[NodeView]) -> list[str]:
    away = [view.row.name for view in views if view not in present]
    causes = []
    if len(away) > AWAY_ALLOWED:
        causes.append(
            f"{', '.join(away)} are away: at most {AWAY_ALLOWED} may be; `cloudctl node remove` those for good"
        )
    if not present:
        causes.append("no node is there")
    for view in present:
        if view.row.state == "draining":
            name = view.row.name
            causes.append(f"node {name} is draining: wait until it is drained, or `cloudctl node return {name}`")
    return causes


def _of_the_moment(present: Sequence[NodeView]) -> list[str]:
    """What is wrong with nodes now: messaging that comes back, an answer that was late."""
    causes = []
    for view in present:
        row = view.row
        if row.is_silent:
            causes.append(f"node {row.name} has said nothing for {row.age_s or 0:.0f} s: wait until it does or is lost")
        elif view.trouble:
            causes.append(f"node {row.name} is not well: {view.trouble}")
        if view.plan is None:
            causes.append(f"node {row.name} cannot be asked for its plan")
    return causes


def _against_code(present: Sequence[NodeView], target: str, *, differ: bool) -> list[str]:
    causes = []
    for view in present:
        if view.plan is not None and view.plan["kind"] == "refused":
            causes.append(f"node {view.row.name} refuses: {view.plan.get('cause', '')}")
    if differ:
        found = ", ".join(f"{view.row.name} {str((view.plan or {}).get('target_hash', ''))[:12]}" for view in present)
        causes.append(f"the tree is not the same on all nodes ({found}): bring the same code to each")
    if target and all((view.plan or {}).get("kind") == "nothing" for view in present):
        causes.append(f"all nodes that are there run {target[:12]} already")
    return causes


def _against_cloud(survey: Survey, target: str) -> list[str]:
    causes = []
    if survey.open_task:
        causes.append(f"a rolling change is under way: task {survey.open_task}, see `cloudctl status --rolling`")
    release = survey.release
    if release is not None and target and release.new_hash != target:
        causes.append(
            f"the upgrade to {release.new_hash[:12]} is not final: first `cloudctl finalize`, or `cloudctl rollback "
            "--rolling`"
        )
    if survey.code_revision and survey.code_revision < survey.oldest_revision:
        causes.append(
            f"that code knows tables of revision {survey.code_revision}; the database was closed to releases before "
            f"{survey.oldest_revision} when an upgrade was made final"
        )
    return causes


def _warnings(views: Sequence[NodeView], present: Sequence[NodeView]) -> list[str]:
    warnings = [
        f"node {view.row.name} is away and is left out: run this again when it is back"
        for view in views
        if view not in present
    ]
    for view in present:
        warnings += [f"node {view.row.name}: {text}" for text in (view.plan or {}).get("warnings", [])]
    return warnings
