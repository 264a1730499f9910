"""`galfit-sr dataset`."""

from __future__ import annotations

import dataclasses
import enum
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..startup import start_jax
from ..terminal import ProgressDisplay
from ..toml import parse
from .command import EXIT_INTERRUPTED, AsJson, Seed, check_readable, command, stop


class Draws(enum.StrEnum):
    """Names of the designs."""

    PRIOR = "prior"
    LATIN_HYPERCUBE = "latin-hypercube"


@command
def dataset(
    n: Annotated[int, typer.Option("--n", help="Pairs in all, at least 2.")],
    out: Annotated[Path, typer.Option(help="Folder of the store; an unfinished one of these pairs is continued.")],
    validation: Annotated[
        int | None, typer.Option(help="Pairs that are kept for validation. (default: one in a hundred)")
    ] = None,
    draws: Annotated[
        Draws | None, typer.Option(help="How galaxies are drawn from the prior. (default: latin-hypercube)")
    ] = None,
    redshift: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LO HI", help="Redshifts, lowest and highest. (default: 0.03)")
    ] = None,
    seed: Seed = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of a recipe; options given here come before it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make training pairs: galaxies from the prior, seen at low resolution without PSF and at high resolution with it.

    Stopped at any moment, the same command goes on.

    [bold]Examples[/bold]

      galfit-sr dataset --n 1500000 --out pairs
      galfit-sr dataset --n 20000 --validation 1000 --redshift 0.01 0.1 --out survey_pairs
    """
    check_readable(config)
    table = {} if config is None else parse(config.read_bytes(), str(config))

    start_jax(x64=False)
    from ..emulation.making import make_store
    from ..emulation.manifest import Plan
    from ..emulation.recipe import read_recipe
    from ..emulation.store import size_on_disk

    given = {"draws": draws and draws.value, "redshift": redshift, "seed": seed}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    recipe = dataclasses.replace(read_recipe(table, str(config)), **chosen)
    plan = Plan(recipe, n, max(1, n // 100) if validation is None else validation)
    try:
        with ProgressDisplay(Console(stderr=True)) as progress:
            made = make_store(out, plan, progress)
    except KeyboardInterrupt:
        again = shlex.join(["galfit-sr", *sys.argv[1:]])
        stop(f"galfit-sr: interrupted; continue with: {again}", EXIT_INTERRUPTED)
    rate = made.pairs / made.seconds if made.pairs else None
    size = size_on_disk(out, made.manifest)
    if as_json:
        numbers = {"pairs": n, "validation": plan.validation, "made": made.pairs, "pairs_per_second": rate}
        typer.echo(json.dumps({"folder": str(out), **numbers, "bytes": size}))
    else:
        speed = f"{made.pairs} of them made now, {rate:.0f} pairs/s" if rate else "all of them there already"
        typer.echo(f"{out}: {n} pairs ({plan.validation} for validation), {speed}, {size / 1e9:.3g} GB on disk")
