"""Commands for environments in processes of their own: env serve, env check."""

from __future__ import annotations

from typing import Annotated

import typer

from creditbench.cli.options import Json, print_json, print_rows

EnvName = Annotated[str, typer.Argument(help="Benchmark whose environment runs in a process of its own.")]


def serve(
    name: EnvName,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Serve an environment on 127.0.0.1 until interrupted; prints what clients must have in their environment."""
    from creditbench.envs import open_pool, serve

    pool = open_pool(name)
    pool.close()
    serve(pool.spec, port, lambda place: print(f"CREDITBENCH_ENV_{name.upper()}={place}", flush=True))


def check(name: EnvName, json: Json = False) -> None:
    """Start an environment once and say what it is."""
    from creditbench.envs import open_pool

    facts = open_pool(name).facts()
    print_json(facts) if json else print_rows([{"": key, "found": value} for key, value in facts.items()])


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Environments in processes of their own.")
    group.command("serve")(serve)
    group.command("check")(check)
    app.add_typer(group, name="env")
