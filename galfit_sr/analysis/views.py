"""How observations, parameters, answers, posteriors and emulators look in a notebook: a table, and mostly a figure.

Comparisons, calibrations and surveys, which the core does not know, bring their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import Any

import jax
import numpy as np

from ..emulation.card import Card
from ..emulation.emulator import Emulator
from ..inference.answer import FirstAnswer
from ..inference.derived import derived_summary, shown_quantities
from ..inference.diagnosis import data_counts
from ..inference.results import Posterior
from ..maps import KINEMATIC, MAP_NAMES, MAP_UNITS, Observation
from ..parameters import Parameter, Parameters
from ..prior_kinds import named
from ..priors import Prior
from .card_figure import card_figure
from .display import MAP_TITLES, digits, key_columns, parameter_columns, prior_columns, setting, unit_html
from .map_figure import maps_figure, observation_figure
from .plots import corner_figure, marginals_figure
from .rendering import Figure, png
from .report_page import decimals, duration, table_html

_DPI = 70
_PRIOR_DRAWS = 20_000


@singledispatch
def figure(shown: Any, *_: Any) -> Figure:
    """What `shown.plot()` draws."""
    raise TypeError(f"{type(shown).__name__} has no figure")


@singledispatch
def html(shown: Any) -> str:
    """What a notebook shows: HTML without style sheet, script or outside request; texts from outside are escaped."""
    raise TypeError(f"{type(shown).__name__} has no table")


@figure.register
def _(observation: Observation) -> Figure:
    return observation_figure(observation)


@figure.register
def _(answer: FirstAnswer) -> Figure:
    return maps_figure(answer.problem.observation, answer)


@figure.register
def _(posterior: Posterior, observation: Observation | None = None) -> Figure:
    if observation is not None:
        posterior.check_data(observation)
        return maps_figure(observation, posterior)
    columns, free = key_columns(posterior), parameter_columns(posterior)
    # Where most is fixed, what is free is the key; one quantity has no pairs.
    columns = columns if len(columns) > 1 else free
    if len(columns) > 1:
        return corner_figure(posterior, columns, cell=1.7)
    draws = Prior(posterior.parameters).sample(jax.random.key(posterior.seed), _PRIOR_DRAWS)
    return marginals_figure(posterior, columns, prior_columns(posterior, np.asarray(draws)))


@figure.register
def _(card: Card) -> Figure:
    return card_figure(card)


@figure.register
def _(emulator: Emulator) -> Figure:
    return card_figure(emulator.card)


@html.register
def _(observation: Observation) -> str:
    counts = data_counts(observation)
    rows = []
    for name, value, error, good in zip(
        MAP_NAMES, observation.values, observation.errors, observation.good, strict=True
    ):
        if name in counts:
            low, high = np.percentile(value[good], (1, 99))
            what = "bins" if name in KINEMATIC and observation.bins is not None else "pixels"
            middle = float(np.median(error[good]))
            n = digits(middle)
            rows.append(
                (
                    MAP_TITLES[name],
                    f"{counts[name]:,} {what}",
                    f"{decimals(low, n)} to {decimals(high, n)}",
                    decimals(middle, n),
                    MAP_UNITS[name],
                )
            )
    facts = (
        f"redshift {observation.redshift:.5g}, {observation.size}×{observation.size} pixels of"
        f" {observation.pixel_scale:g} arcsec, PSF of light {observation.psf_photometry}, of kinematics"
        f" {observation.psf_kinematics} (arcsec)"
    )
    picture = base64.b64encode(png(observation_figure(observation), _DPI)).decode("ascii")
    return block(
        f"Observation of {observation.name}",
        facts,
        observation.notes,
        table_html(["", "data", "1 to 99 %", "median error", "unit"], rows),
        f'<img alt="maps" src="data:image/png;base64,{picture}">',
    )


@html.register
def _(parameters: Parameters) -> str:
    rows = [
        (
            f"<code>{escape(p.name)}</code>",
            escape(p.description),
            escape(_state(p)),
            unit_html(p.unit),
        )
        for p in parameters
    ]
    others = [p for p in parameters if not p.is_free]
    facts = f"{parameters.ndim} free, {len(others)} fixed or tied; numbers in the units of the model"
    orders = [f"{', '.join(order.smaller)} < {order.larger}" for order in parameters.orders]
    table = table_html(["parameter", "what it is", "prior or value", "unit"], rows)
    return block("Parameters", facts, orders, table)


def _state(parameter: Parameter) -> str:
    """Prior, value or tie, in words."""
    if parameter.prior is None:
        return f"fixed at {parameter.value:g}" if parameter.tied is None else f"the same as {parameter.tied}"
    known = named(parameter.prior)
    if known is None:
        return type(parameter.prior).__name__
    kind, numbers = known
    words = [f"{name} {number:.4g}" for name, number in numbers.items() if name not in ("low", "high")]
    if "low" in numbers:
        words.append(f"from {numbers['low']:.4g} to {numbers['high']:.4g}")
    return f"{kind.replace('_', ' ')}: {', '.join(words)}"


@html.register
def _(answer: FirstAnswer) -> str:
    rows = []
    parameters, values = answer.problem.target.prior.parameters, answer.best_values()
    for quantity, error in zip(shown_quantities(parameters), answer.errors, strict=True):
        if quantity.unit == "deg":
            error = np.rad2deg(error)
        n = digits(float(error))
        estimate = f"{decimals(quantity.compute(values), n)} ± {error:.{n}f}"
        rows.append((f"<code>{escape(quantity.name)}</code>", estimate, unit_html(quantity.unit)))
    facts = (
        f"maximum a posteriori with Laplace's errors, {len(answer.modes)} modes, {_chi2(answer.reduced_chi2)};"
        f" {answer.calls:,} likelihoods in {duration(answer.seconds)}"
    )
    name = answer.problem.observation.name
    return block(f"First answer for {name}", facts, answer.warnings, table_html(["parameter", "", "unit"], rows))


@html.register
def _(posterior: Posterior) -> str:
    summary: dict[str, dict[str, Any]] = {**posterior.summary(), **derived_summary(posterior)}
    with_truth = any("truth" in row for row in summary.values())
    rows = []
    for name, row in summary.items():
        n = digits(row["std"])
        cells = [f"<code>{escape(name)}</code>", *(decimals(row[q], n) for q in ("q50", "q16", "q84"))]
        if with_truth:
            cells.append(decimals(row["truth"], n) if "truth" in row else "")
        rows.append([*cells, unit_html(row["unit"])])
    evidence = ""
    if posterior.log_evidence is not None:
        error = "" if posterior.log_evidence_error is None else f" ± {posterior.log_evidence_error:.2f}"
        evidence = f"log evidence {decimals(posterior.log_evidence, 2)}{error}, "
    facts = (
        f"{posterior.predictor}, {posterior.sampler}: {evidence}{posterior.effective_sample_size:,.0f} effective"
        f" samples, {_chi2(posterior.reduced_chi2)}; {posterior.n_likelihood_calls:,} likelihoods in"
        f" {duration(posterior.wall_seconds)}"
    )
    heads = ["parameter", "median", "16 %", "84 %", *(["truth"] if with_truth else []), "unit"]
    name = posterior.galaxy or "a galaxy"
    return block(f"Posterior of {name}", facts, posterior.warnings, table_html(heads, rows))


@html.register
def _(card: Card) -> str:
    training = ", ".join(f"{k} {setting(v)}" for k, v in card.training.items() if not isinstance(v, Mapping))
    pairs = [
        ("what it does", card.description),
        ("made for", card.purpose()),
        ("network", ", ".join(f"{k} {v}" for k, v in card.network.items())),
        ("numbers learnt", f"{card.weights:,}"),
        ("training", training),
    ]
    rows = []
    for where, found in card.held_out.items():
        if "noise" in found:
            spread = ["{median:.3g} / {p90:.3g}".format(**found["noise"][region]) for region in ("whole", "centre")]
            rows.append((escape(where), f"{found['galaxies']:,}", *spread))
    heads = ["held-out galaxies", "how many", "error / noise, whole map", "centre"]
    return block(
        f"Emulator {card.name}",
        "errors: rms over a galaxy in units of a typical noise, median / 90th percentile",
        card.known_failures,
        table_html(["", ""], [(what, escape(text)) for what, text in pairs if text]),
        table_html(heads, rows) if rows else "",
    )


@html.register
def _(emulator: Emulator) -> str:
    return html(emulator.card)


def block(title: str, facts: str, notes: Sequence[str], *parts: str) -> str:
    """Heading and facts (plain text), warnings, and tables (HTML)."""
    return "".join(
        [f"<div><strong>{escape(title)}</strong><br><small>{escape(facts)}</small>", _notes(notes), *parts, "</div>"]
    )


def _notes(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _chi2(reduced: Mapping[str, float]) -> str:
    return "reduced χ² of " + ", ".join(f"{MAP_TITLES[name].lower()} {value:.2f}" for name, value in reduced.items())
