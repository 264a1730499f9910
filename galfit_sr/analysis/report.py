"""report.html: everything about a fit in one file that can be sent to a colleague.

Figures and styles are inside, nothing is fetched, no script is needed; every text from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from ..inference.correction import in_words
from ..inference.derived import QUANTITIES, Quantity, derived_summary, shown_quantities
from ..inference.diagnosis import data_counts
from ..inference.results import Posterior
from ..maps import KINEMATIC, Observation
from ..parameters import COMPONENT_NAMES
from .display import COMPONENT_TITLES, MAP_TITLES, digits, errors, pull, unit_html
from .report_page import MINUS, decimals, duration, figure_html, page_html, pairs_html, table_html, warnings_html
from .run_words import run_facts, sampler_title

CAPTIONS = {
    "maps": (
        "Data, model and residuals",
        "The model is the sample of highest posterior density, seen as the data are (kinematics averaged in bins)."
        " Pixels without data are grey, the hatched circle is the FWHM of the point spread function, and the line in"
        " the model's velocity is the major axis, solid on the receding side.",
    ),
    "profiles": (
        "Radial profiles",
        "By component, in the plane of the discs, before the point spread function: medians and central 68 % bands."
        " Black dots: the truth, where it is known.",
    ),
    "corner_key": (
        "Key quantities",
        "Marginal posteriors of pairs, with the regions that hold 39 % and 86 % (1 and 2 sigma of a two-dimensional"
        " Gaussian). Orange: the truth, where it is known.",
    ),
    "marginals": (
        "Every parameter",
        "Marginal posteriors (blue) over the priors (dashed), the central 68 % in grey, and the truth in orange where"
        " it is known.",
    ),
    "corner": ("All pairs of parameters", "As above, for every parameter."),
    "trace": (
        "The course of the sampling",
        "Likelihood of every sample, and where the posterior lies, against the compression of the prior (where it is"
        " re-partitioned around a first answer, of that one, and likelihoods then scatter). A run that ended too early"
        " has its posterior cut off at the right.",
    ),
}
_WIDE = ("corner",)


def report_html(
    posterior: Posterior,
    observation: Observation,
    figures: Mapping[str, bytes],
    *,
    config_toml: str | None = None,
    command: str | None = None,
) -> str:
    """The report.

    Args:
        posterior, observation: of the fit.
        figures: name (a key of `CAPTIONS`) -> PNG; those that are missing are left out.
        config_toml: the configuration that repeats the fit.
        command: the command line that repeats it.
    """
    name = posterior.galaxy or observation.name
    return page_html(
        f"{name}: galfit_sr fit",
        name,
        _subtitle(posterior, observation),
        (
            _warnings(posterior.warnings),
            _headline(posterior),
            _what(posterior, observation),
            _figure("maps", figures),
            _figure("profiles", figures),
            _figure("corner_key", figures),
            _parameter_table(posterior),
            _derived_table(posterior),
            _figure("marginals", figures),
            _figure("corner", figures),
            "<h2>How the run went</h2>",
            pairs_html(run_facts(posterior, observation)),
            _figure("trace", figures),
            "<h2>How to repeat it</h2>",
            _reproduce(posterior, config_toml, command),
        ),
    )


def _subtitle(posterior: Posterior, observation: Observation) -> str:
    predictor = f"emulator {posterior.emulator}" if posterior.emulator else "full-resolution model"
    if posterior.correction is not None:
        predictor += ", corrected to full resolution"
    sampler = sampler_title(posterior)
    return f"redshift {observation.redshift:.5g} · {predictor} · {sampler} · galfit_sr {posterior.version}"


def _warnings(sentences: Collection[str]) -> str:
    if sentences:
        return warnings_html(sentences)
    return (
        '<section class="fine"><p>No warnings: the run converged, no prior cuts the posterior off, and the model'
        " describes every map to within its errors.</p></section>"
    )


def _headline(posterior: Posterior) -> str:
    cards = []
    for name, row in derived_summary(posterior).items():
        if row["std"] == 0:
            continue
        quantity = next(q for q in QUANTITIES if q.name == name)
        degree = unit_html("deg") if quantity.unit == "deg" else ""
        unit = f" [{unit_html(quantity.unit)}]" if quantity.unit and not degree else ""
        truth = (
            f'<span class="truth">truth {decimals(row["truth"], digits(row["std"]))}</span>' if "truth" in row else ""
        )
        cards.append(
            f'<div class="card"><span class="what">{escape(quantity.description)}{unit}</span>'
            f'<span class="value">{_measured(row, quantity.period, degree)}</span>{truth}</div>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _what(posterior: Posterior, observation: Observation) -> str:
    names = [p.name for p in posterior.parameters]
    components = [COMPONENT_TITLES[c] for c in COMPONENT_NAMES if any(c in name for name in names)]
    counts = data_counts(observation)
    maps = ", ".join(
        f"{MAP_TITLES[m].lower()} ({n:,} {'bins' if m in KINEMATIC and observation.bins is not None else 'pixels'})"
        for m, n in counts.items()
    )
    fixed = [
        f"{p.name} = {p.value:g} {p.unit.replace(' / ', '/')}".strip()
        for p in posterior.parameters
        if p.value is not None
    ]
    tied = [f"{p.name} = {p.tied}" for p in posterior.parameters if p.tied is not None]
    predictor = (
        f"the emulator {posterior.emulator} on top of the low-resolution model"
        if posterior.emulator
        else "the full-resolution model"
    )
    correction = posterior.correction
    runs = posterior.sampler_settings.get("runs", 1)
    several = f", in {runs} runs, one for each part of the posterior" if runs > 1 else ""
    sentences = [
        f"A galaxy of {_listed(components)}, with {posterior.parameters.ndim} free parameters, was fitted to {maps},"
        f" using {predictor}.",
        f"Not free: {_listed(fixed + tied)}." if fixed + tied else "",
        "" if correction is None else in_words(correction),
        f"Sampler: {sampler_title(posterior)}, seed {posterior.seed}{several};"
        f" {posterior.n_likelihood_calls:,} likelihoods in {duration(posterior.wall_seconds)}.",
    ]
    return f"<p>{escape(' '.join(s for s in sentences if s))}</p>"


def _parameter_table(posterior: Posterior) -> str:
    summary = posterior.summary()
    rows = [_row(q, summary[q.name]) for q in shown_quantities(posterior.parameters)]
    with_truth = any("truth" in row for row in summary.values())
    note = "<p><small>pull: (truth - median) over half the central 68 % interval.</small></p>" if with_truth else ""
    return _table("Parameters", rows, with_truth) + note


def _derived_table(posterior: Posterior) -> str:
    derived = derived_summary(posterior)
    rows = [_row(q, derived[q.name]) for q in QUANTITIES if q.name in derived and q.unit != "deg"]
    return _table("What follows from them", rows, any("truth" in row for row in derived.values())) if rows else ""


def _row(quantity: Quantity, row: Mapping[str, Any]) -> tuple[str, ...]:
    n = digits(row["std"])
    deviation = pull(row, quantity.period)
    return (
        f"<code>{escape(quantity.name)}</code><br><small>{escape(quantity.description)}</small>",
        unit_html(quantity.unit),
        _measured(row, quantity.period),
        f"{decimals(row['q05'], n)} to {decimals(row['q95'], n)}",
        f"{decimals(row['mean'], n)} ± {decimals(row['std'], n)}",
        decimals(row["truth"], n) if "truth" in row else "",
        "" if deviation is None else f"{round(deviation, 1) + 0.0:+.1f}".replace("-", MINUS),
    )


def _table(title: str, rows: list[tuple[str, ...]], with_truth: bool) -> str:
    heads = ["", "unit", "median and 68 %", "5 to 95 %", "mean and s.d.", "truth", "pull"]
    width = 7 if with_truth else 5
    table = table_html(heads[:width], [row[:width] for row in rows], stacks=True)
    return f"<h2>{escape(title)}</h2>{table}"


def _reproduce(posterior: Posterior, config_toml: str | None, command: str | None) -> str:
    parts = [
        f"<p>galfit_sr {escape(posterior.version)}, seed {posterior.seed}, data"
        f" <code>{escape(posterior.data_fingerprint[:16])}</code>.</p>"
    ]
    if command:
        parts.append(f'<div class="box"><pre>{escape(command)}</pre></div>')
    if config_toml:
        parts.append(f'<p>config.toml:</p><div class="box"><pre>{escape(config_toml)}</pre></div>')
    return "".join(parts)


def _figure(name: str, figures: Mapping[str, bytes]) -> str:
    return figure_html(*CAPTIONS[name], figures[name], wide=name in _WIDE) if name in figures else ""


def _measured(row: Mapping[str, Any], period: float | None, unit: str = "") -> str:
    """Median with its 68 % interval, to two digits of the error."""
    down, up = errors(row, period)
    n = digits(row["std"])
    return (
        f'{decimals(row["q50"], n)}{unit}<span class="errors"><sup>+{up:.{n}f}</sup>'
        f"<sub>{MINUS}{down:.{n}f}</sub></span>"
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
