"""The legend of an experiment's charts: the kinds of thing that are drawn, each with the word for it."""

from collections.abc import Sequence

from gameday.report.chart import Chart, Lane, Mark

_WORDS = {
    "line": "measured",
    "base": "baseline",
    "limit": "limit",
    "gap": "could not be read",
    "stage": "stage",
    "inject": "injected",
    "undo": "undone",
    "pending": "alert pending",
    "firing": "alert firing",
    "alert": "alert fires",
    "notified": "notified",
    "abort": "guard tripped",
    "note": "note",
    "mark": "said by people",
}


def legend(charts: Sequence[Chart], lanes: Sequence[Lane], marks: Sequence[Mark]) -> tuple[tuple[str, str], ...]:
    """Kind and word, only of what is drawn."""
    drawn = {mark.kind for mark in marks} | {mark.kind for lane in lanes for mark in lane.marks}
    drawn |= {band.kind for lane in lanes for band in lane.bands}
    if charts:
        drawn.add("line")
    if any(chart.limits for chart in charts):
        drawn.add("limit")
    if any(chart.baseline is not None for chart in charts):
        drawn.add("base")
    if any(chart.gaps for chart in charts):
        drawn.add("gap")
    return tuple((kind, word) for kind, word in _WORDS.items() if kind in drawn)
