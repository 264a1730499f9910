"""The figure of an emulator's card: how wrong it is, against the noise, and whether it knows."""

from __future__ import annotations

from ..emulation.card import Card
from ..maps import MAP_NAMES
from .display import MAP_TITLES
from .plots import POSTERIOR_COLOUR, PRIOR_COLOUR, TRUTH_COLOUR
from .rendering import Figure

_REGIONS = {"whole": "whole map", "centre": "within 2 arcsec"}
_COLOURS = {"whole": POSTERIOR_COLOUR, "centre": TRUTH_COLOUR}


def card_figure(card: Card) -> Figure:
    """Left, rms error over a galaxy in units of a typical noise, from the median to the 90th percentile of held-out
    galaxies. Right, the standard deviation of error over claimed error, by map: 1 for an emulator that knows its own.

    What the card does not hold is left out.
    """
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    samples = {name: found["noise"] for name, found in card.held_out.items() if "noise" in found}
    for offset, (region, title) in zip((-0.12, 0.12), _REGIONS.items(), strict=True):
        for place, noise in enumerate(samples.values()):
            low, high = noise[region]["median"], noise[region]["p90"]
            left.plot([low, high], [place + offset] * 2, color=_COLOURS[region], marker="|", linewidth=3)
        left.plot([], [], color=_COLOURS[region], linewidth=3, label=title)
    left.axvline(1, color="black", linewidth=0.8)
    left.set_xscale("log")
    left.set_yticks(range(len(samples)), list(samples))
    left.set_ylim(len(samples) - 0.4, -0.6)
    left.set_xlabel("rms error / typical noise, median to 90th percentile")
    left.legend(frameon=False, fontsize=8)
    known = card.held_out.get("calibration", {}).get("maps", {})
    for offset, (region, title) in zip((-0.12, 0.12), _REGIONS.items(), strict=True):
        spreads = [
            (place + offset, known[name][region]["std"]) for place, name in enumerate(MAP_NAMES) if name in known
        ]
        right.plot([s for _, s in spreads], [p for p, _ in spreads], "o", color=_COLOURS[region], label=title)
    right.axvspan(0.8, 1.2, color=PRIOR_COLOUR, alpha=0.4, linewidth=0)
    right.axvline(1, color="black", linewidth=0.8)
    right.set_yticks(range(len(MAP_NAMES)), [MAP_TITLES[name] for name in MAP_NAMES])
    right.set_ylim(len(MAP_NAMES) - 0.5, -0.5)
    right.set_xlabel("standard deviation of error / claimed error")
    figure.suptitle(card.name, fontsize=11)
    return figure
