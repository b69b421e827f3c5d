"""Commands that look: list, doctor, plan, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from creditbench.cli.options import Json, SuiteName, print_json, print_rows

# What stands in lines of its own below a row: too long for a column.
BELOW = {"methods": ("variants", "placebos", "matched"), "suites": ("description",), "benchmarks": ("title",)}
KINDS = ("methods", "benchmarks", "suites", "arms")


def list_(
    kind: Annotated[str, typer.Argument(help="methods, benchmarks, suites or arms.")] = "methods",
    suite: Annotated[str, typer.Option("--suite", help="For `arms`: of this suite.")] = "tiny",
    json: Json = False,
) -> None:
    """List what is registered: methods, benchmarks, suites, or the arms of a suite."""
    from creditbench.errors import unknown

    makers = {"methods": _methods, "benchmarks": _benchmarks, "suites": _suites, "arms": lambda: _arms(suite)}
    if kind not in makers:
        raise unknown("kind", kind, KINDS)
    rows = makers[kind]()
    if json:
        print_json(rows)
    else:
        print_rows([_flat(row) for row in rows], below=BELOW.get(kind, ()))


def _flat(row: dict[str, Any]) -> dict[str, str]:
    return {k: ", ".join(map(str, v)) if isinstance(v, list | dict) else str(v) for k, v in row.items()}


def _methods() -> list[dict[str, Any]]:
    from creditbench.method import get_method, method_names

    found = [get_method(name) for name in method_names()]
    return [
        {
            "name": one.name, "paper": one.card.paper.id, "cost": one.card.cost, "privileged": one.card.privileged,
            "variants": sorted(one.card.variants), "placebos": list(one.card.placebos), "matched": one.matched_view,
            "title": one.card.title,
        }
        for one in found
    ]  # fmt: skip


def _benchmarks() -> list[dict[str, Any]]:
    from creditbench.benchmark import benchmark_names, get_benchmark

    cards = [(name, get_benchmark(name).card) for name in benchmark_names()]
    return [
        {
            "name": name, "role": card.role, "kind": card.kind, "version": card.version,
            "grader": f"{card.grader.id}@{card.grader.version}", "k": card.protocol.k, "splits": sorted(card.splits),
            "title": card.title,
        }
        for name, card in cards
    ]  # fmt: skip


def _suites() -> list[dict[str, Any]]:
    from creditbench.suite import load_suite, suite_names

    loaded = [load_suite(name) for name in suite_names()]
    return [
        {
            "name": suite.name, "class": suite.class_, "arms": len(suite.arms), "seeds": len(suite.seeds),
            "tracks": sorted(suite.tracks), "description": suite.description,
        }
        for suite in loaded
    ]  # fmt: skip


def _arms(name: str) -> list[dict[str, Any]]:
    from creditbench.plan import relative_cost
    from creditbench.suite import load_suite, parse_arm

    suite = load_suite(name)
    arms = [parse_arm(arm) for arm in suite.arms]
    skips = {track_name: track.skip_arms for track_name, track in suite.tracks.items()}
    return [
        {
            "arm": arm.name, "method": arm.method, "variant": arm.variant, "placebo": arm.placebo,
            "step_cost": relative_cost(arm.name, suite.class_),
            "not_run": {track: why[arm.name] for track, why in skips.items() if arm.name in why},
        }
        for arm in arms
    ]  # fmt: skip


def doctor(json: Json = False) -> int:
    """Say what this machine has: Python, libraries, cores, accelerators, sandbox, Slurm, hub, data."""
    from creditbench.doctor import examine

    findings = examine()
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_rows([{"": f.mark, "what": f.what, "found": f.found} for f in findings])
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def plan(
    suite: SuiteName,
    methods: Annotated[str, typer.Option("--methods", help="Only these arms, e.g. grpo,sc_grpo.")] = "",
    seeds: Annotated[str, typer.Option("--seeds", help="These seeds, e.g. 0,1,2.")] = "",
    json: Json = False,
) -> None:
    """Price a suite before it runs: jobs, tokens, time, disk, and the effect that its seeds can detect."""
    from creditbench.plan import estimate, lines
    from creditbench.suite import make_request

    asked = {"suite": suite, "methods": methods, "seeds": seeds}
    budget = estimate(make_request({k: v for k, v in asked.items() if v}))
    print_json(budget) if json else print("\n".join(lines(budget)))


def verify(
    paths: Annotated[list[str], typer.Argument(help="A folder of results; or, with --data, SUITE TRACK.")],
    data: Annotated[bool, typer.Option("--data", help="Load a track's splits and check their rows.")] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Also make one run again, drawn at random.")] = False,
    draw: Annotated[int, typer.Option("--draw", help="Seed of that draw.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write what was found as JSON.")] = None,
    json: Json = False,
) -> int:
    """Check a folder of results, own or sent by somebody: digests, counts, grades, tables; say how far it holds."""
    from creditbench.errors import BadInput
    from creditbench.records import write_json

    if data:
        from creditbench.verify import check_data

        if len(paths) != 2:
            raise BadInput(f"verify --data: expected SUITE TRACK, got {len(paths)} words")
        found = check_data(paths[0], paths[1], out)
        print_json(found) if json else print_rows(found["splits"])
        return 0
    if len(paths) != 1:
        raise BadInput(f"verify: expected one folder, got {len(paths)}")
    from creditbench.replay import replay as again
    from creditbench.report.verify import verify as check

    done = check(paths[0], replay=again if replay else None, draw=draw)
    if out is not None:
        write_json(out, done.as_dict())
    if json:
        print_json(done.as_dict())
    else:
        for kind, lines in (("problem", done.problems), ("note", done.notes)):
            print("\n".join(f"{kind}: {line}" for line in lines), end="\n" if lines else "")
        counts = f"{done.evals} evaluations, {done.runs} runs, {done.samples} samples, {done.regraded} graded again"
        print(f"{done.tier}: {counts}")
    return 1 if done.tier == "rejected" else 0


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("list")(list_)
    for command in (doctor, plan, verify):
        app.command()(command)
