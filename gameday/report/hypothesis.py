"""The table of a hypothesis: each condition and probe, before, during and after."""

from collections.abc import Sequence

import msgspec

from gameday.journal.events import ConditionInfo, ExperimentInfo, HypothesisJudged, Judgement, Outcome
from gameday.report.format import unit_of
from gameday.report.views import Cell, Row
from gameday.spec.model import Unit

_GRAVITY = [None, Outcome.HELD, Outcome.UNREADABLE, Outcome.BROKEN]
PROBE = "tolerance"


def condition_text(condition: ConditionInfo) -> str:
    """As judgements name it: "< 300ms", "change < 30%"."""
    return ("change " if condition.relative else "") + condition.text


def tabulate(info: ExperimentInfo, judged: Sequence[HypothesisJudged]) -> tuple[Row, ...]:
    """The conditions in the order of the file, then the probes, then whatever else was judged."""
    conditions = {
        (condition.signal, condition_text(condition)): condition
        for condition in info.conditions
        if condition.role == "hypothesis"
    }
    keys = [*conditions, *((probe, PROBE) for probe in info.probes)]
    keys += [(judgement.subject, judgement.condition) for event in judged for judgement in event.judgements]
    return tuple(_row(key, conditions.get(key), judged) for key in dict.fromkeys(keys))


def _row(key: tuple[str, str], condition: ConditionInfo | None, judged: Sequence[HypothesisJudged]) -> Row:
    cells: dict[str, list[Cell]] = {"before": [], "during": [], "after": []}
    for event in judged:
        for judgement in event.judgements:
            if (judgement.subject, judgement.condition) == key and event.when in cells:
                cells[event.when].append(_cell(judgement))
    lower_is_worse = condition is not None and condition.comparator.startswith(">")
    unit = None if key[1] == PROBE else _unit(condition)
    return Row(
        subject=key[0],
        condition=key[1],
        unit=unit,
        before=cells["before"][-1] if cells["before"] else Cell(),
        during=_worst(cells["during"], lower_is_worse=lower_is_worse),
        after=cells["after"][-1] if cells["after"] else Cell(),
        stages=tuple(cells["during"]),
    )


def _unit(condition: ConditionInfo | None) -> Unit:
    if condition is None:
        return Unit.NUMBER
    return Unit.RATIO if condition.relative else unit_of(condition.unit)


def _cell(judgement: Judgement) -> Cell:
    return Cell(judgement.outcome, judgement.worst, judgement.breached_for_s, judgement.detail)


def _worst(cells: Sequence[Cell], *, lower_is_worse: bool) -> Cell:
    if not cells:
        return Cell()
    gravest = max(cells, key=lambda cell: _GRAVITY.index(cell.outcome))
    values = [cell.worst for cell in cells if cell.worst is not None]
    worst = (min if lower_is_worse else max)(values) if values else None
    return msgspec.structs.replace(gravest, worst=worst, breached_for_s=max(cell.breached_for_s for cell in cells))
