"""Which numbers must stand where on the page. What is looked at is claimed; what nothing claims is one too many."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from gameday import __version__

from .document import handover, notes, open_faults, standing
from .expected import (
    as_written,
    clock,
    date,
    facts_of,
    figures,
    minute,
    noticed,
    reach,
    regressions,
    sentences,
    statement,
    timeline,
    withins,
)  # fmt: skip
from .lines import Experiment, Line, Raw, iso
from .reading import Node, Number, Quantity, differences, duration, measured, numbers


class Page:
    """A page, what is wrong with it, and the words in it that are somebody else's."""

    def __init__(self, root: Node, known: list[str]) -> None:
        self.root, self.known = root, known
        self.wrong: list[str] = []

    def claim(self, node: Node, expected: list[Number]) -> None:
        """These numbers, and no others, stand there, in this order."""
        text = node.text
        node.claim()
        self.wrong += [f"{text[:120]!r}: {one}" for one in differences(numbers(text, self.known), expected)]

    def claim_all(self, nodes: list[Node], expected: list[list[Number]], what: str) -> None:
        """One after another, and as many as there are."""
        if len(nodes) != len(expected):
            self.wrong.append(f"{what}: {len(nodes)} are shown, expected {len(expected)}")
        for node, one in zip(nodes, expected, strict=False):
            self.claim(node, one)

    def unclaimed(self) -> Iterator[str]:
        """Texts with numbers that nothing has looked at."""
        for node in self.root.walk():
            if not node.tag and not node.is_claimed and (found := numbers(node.words, self.known)):
                yield f"{node.words.strip()[:120]!r} shows {[one.text for one in found]}, and nothing accounts for it"


def check(page: Page, raw: Raw) -> None:
    """The whole page but its charts, which are looked at one experiment at a time."""
    start, end = raw.session["at"] if raw.session else raw.lines[0]["at"], max(line["at"] for line in raw.lines)
    said, root = sentences(raw), page.root
    page.claim(root.one("head").one("title"), statement(raw))
    when, lasted, *_ = root.one("header", class_="top").all("li")
    page.claim(when, [date(start), clock(start), "00:00"])
    page.claim(lasted, [duration(end - start)])
    top = root.one("section", class_="verdict")
    page.claim(top.one("h2"), said["statement"])
    answers = top.one("dl", class_="three").all("dd")
    page.claim_all(answers, [said["broken"], said["survived"], said["next"]], "answers")
    page.claim_all(top.all("p", class_="back"), regressions(raw), "regressions")
    _left(page, raw)
    _found(page, raw)
    _differing(page, raw)
    _earlier(page, raw)
    _handover(page, raw)
    if len(raw.experiments) > 1:
        briefs = [[n for figure, _ in figures(one, of_people=False) for n in figure] for one in raw.experiments]
        page.claim_all(root.one("ol", class_="index").all("span", class_="num"), briefs, "briefs")
    for one in raw.experiments:
        _experiment(page, root.one("article", id=f"experiment-{one.index}"), one)
    _appendix(page, raw, start, end)


def _rows(table: Node) -> list[Node]:
    return [row for body in table.all("tbody") for row in body.all("tr")]


def _left(page: Page, raw: Raw) -> None:
    ends = {line["fault_id"]: 0 for line in raw.of("fault-planned")}
    for line in raw.of("undo-ended"):
        ends[line["fault_id"]] += line["attempts"]
    expected: list[list[Number]] = [
        [ends[plan["fault_id"]]] if ends[plan["fault_id"]] else [] for plan in open_faults(raw)
    ]
    sections = page.root.all("section", class_="left")
    items = sections[0].all("li") if sections else []
    page.claim_all(items[: len(expected)], expected, "what is left")


def _found(page: Page, raw: Raw) -> None:
    findings = [(one, finding) for one in raw.experiments for finding in one.findings()]
    recalled = {line["action"]: line for line in raw.of("action-recalled")}
    shown: list[tuple[Node, Node]] = []
    for card in page.root.all("div", class_="found"):
        items = [(item, facts) for item in card.all("li") for facts in item.all("div", class_="facts")]
        page.claim(card.one("span", class_="count"), [len(items)])
        if "unseen" in card.one("h3").text:
            page.claim(card.one("p", class_="soft"), noticed(raw))
        shown += items
    if len(shown) != len(findings):
        page.wrong.append(f"{len(shown)} findings are shown, expected {len(findings)}")
    for item, facts in shown:
        title, index = item.one("strong").text, int(facts.one("a").text.split()[1]) - 1
        alike = [(o, f) for o, f in findings if " ".join(f["title"].split()) == title]
        one, finding = next((o, f) for o, f in alike if o.index == index)
        findings.remove((one, finding))
        line = recalled.get(one.action(finding) or "")
        since: list[Number] = [date(line["opened_at"])] if line else []
        page.claim(facts, [*since, one.index + 1])


def _differing(page: Page, raw: Raw) -> None:
    """What builder and SRE did not agree on, each question with what both said and what happened."""
    disputed = [(one, q) for one in raw.experiments for q in one.questions() if one.is_disputed(q)]
    cards = page.root.all("section", class_="differing")
    if len(cards) != bool(disputed):
        page.wrong.append(f"{len(cards)} lists of what was not agreed on, expected {bool(disputed)}")
    for card in cards:
        page.claim(card.one("span", class_="count"), [len(disputed)])
        items = card.all("li")
        if len(items) != min(len(disputed), 12):
            page.wrong.append(f"{len(items)} questions were not agreed on, expected {len(disputed)}")
        for item, (one, question) in zip(items, disputed, strict=False):
            if question["asks"] not in item.one("strong").text:
                page.wrong.append(f"{item.text[:80]!r} does not ask of {question['asks']}")
            made, _ = one.predicted()
            sides = [line.get("role") in ("builder", "sre") for line in made]
            within = [w for w, is_side in zip(question["within"], sides, strict=True) if is_side and w is not None]
            fired = [] if question["fired"] is None else [Quantity(question["fired"], "s", 0.5)]
            said: list[Number] = [Quantity(w, "s", 1e-9) for w in within]
            page.claim(item, [*fired, *said, one.index + 1])


def _earlier(page: Page, raw: Raw) -> None:
    recalled = raw.of("action-recalled")
    if not recalled:
        return
    rows = _rows(page.root.one("section", aria_labelledby="earlier"))
    if len(rows) != len(recalled):
        page.wrong.append(f"{len(rows)} action items are shown, expected {len(recalled)}")
    for row, line in zip(rows, recalled, strict=False):
        _, opened, now = row.all("td")
        index = standing(raw, line)[1]
        page.claim(row.one("th"), [line["reopened"]] if line.get("reopened") else [])
        page.claim(opened, [date(line["opened_at"])])
        page.claim(now, [] if index is None else [index + 1])


def _handover(page: Page, raw: Raw) -> None:
    section = page.root.one("section", aria_labelledby="handover")
    services = handover(raw)
    tables = [box for box in section.all("div", role="region") if "handover" in box.attributes["aria-labelledby"]]
    if len(tables) != len(services):
        page.wrong.append(f"{len(tables)} services are shown, expected {len(services)}")
    for table, (_, needs) in zip(tables, services, strict=False):
        for row, facts in zip(_rows(table), needs.values(), strict=True):
            wanted, found = [(fact[0], facts_of(fact)) for fact in facts], []
            for item in row.all("li"):
                links = [int(link.text.split()[-1]) - 1 for link in item.all("a")]
                said = numbers(item.text, page.known)[: -len(links) or None]
                item.claim()
                for index in links:
                    fact = next((w for w in wanted if w[0] == index and not differences(said, w[1])), None)
                    if fact is None:
                        page.wrong.append(f"{item.text!r}: experiment {index + 1} shows no such thing")
                    else:
                        wanted.remove(fact)
                        found.append(fact)
            for index, fact_numbers in wanted:
                if fact_numbers and (index, fact_numbers) not in found:  # the same words are said once
                    page.wrong.append(f"{row.text[:80]!r} lacks {[*map(str, fact_numbers)]} of experiment {index + 1}")
    signatures = section.all("div", aria_labelledby="signatures")
    if signatures:
        rows = _rows(signatures[0])
        page.claim_all(
            [row.all("td")[1] for row in rows], [minute(line["at"]) for line in raw.signatures], "signatures"
        )


def _experiment(page: Page, article: Node, one: Experiment) -> None:
    header, label, count = article.one("header"), f"e{one.index}", len(one.raw.experiments)
    page.claim_all(header.all("p", class_="eyebrow"), [[one.index + 1, count]] if count > 1 else [], "numbering")
    if one.start is not None:
        times: list[Number] = [clock(one.start)]
        times += [duration(one.ended["at"] - one.start)] if one.ended else []
        page.claim(next(item for item in header.all("li") if " UTC" in item.text), times)
    shown = [item for numbers_ in header.all("dl", class_="numbers") for item in numbers_.all("dd")]
    page.claim_all(shown, [figure + remark for figure, remark in figures(one, of_people=True)], "figures")
    for box in article.all("div", role="region"):
        name = box.attributes.get("aria-labelledby", "").partition(" ")[0]
        match name.removeprefix(f"{label}-"):
            case "hyp":
                _hypothesis(page, box, one)
            case "said":
                _predictions(page, box, one)
            case "hit":
                _hit(page, box, one)
            case "alerts":
                _alerts(page, box, one)
            case "call":
                _on_call(page, box, one)
            case "steps":
                _steps(page, box, one)
            case "boards":
                _boards(page, box, one)
    _, late = one.predicted()
    items = article.one("ul", aria_labelledby=f"{label}-late").all("li") if late else []
    page.claim_all(
        items, [[duration(line["at"] - one.injected_at), *withins([line])] for line in late], "what came late"
    )
    _timeline(page, article, one)


def _hypothesis(page: Page, box: Node, one: Experiment) -> None:
    rows = one.conditions()
    for shown, row in zip_longest(_rows(box), rows):
        for cell, window in zip(shown.all("td"), ("before", "during", "after"), strict=True):
            page.claim(cell, _cell(row[window], row["unit"]))


def _cell(cell: Line, unit: str) -> list[Number]:
    said: list[Number] = [] if cell["worst"] is None else [measured(cell["worst"], unit)]
    return [*said, duration(cell["breached_for_s"])] if cell["outcome"] == "broken" and cell["breached_for_s"] else said


def _predictions(page: Page, box: Node, one: Experiment) -> None:
    made, _ = one.predicted()
    sides = [[line for line in made if line.get("role") == role] for role in ("builder", "sre")]
    sides = [side for side in [*sides, [line for line in made if line.get("role") not in ("builder", "sre")]] if side]
    questions = {question["subject"]: question for question in one.questions()}
    for row in _rows(box):
        asked_for = [q for q in questions.values() if q["asks"] in row.one("th").text]
        question = questions.pop(max(asked_for, key=lambda q: len(q["asks"]))["subject"])
        *cells, happened = row.all("td")
        for cell, side in zip(cells, sides, strict=True):
            mine = [within for line, within in zip(made, question["within"], strict=True) if line in side]
            page.claim(cell, [Quantity(within, "s", 1e-9) for within in mine if within is not None])
        page.claim(happened, [] if question["fired"] is None else [Quantity(question["fired"], "s", 0.5)])
    page.wrong += [f"nothing is said of {subject}" for subject in questions]


def _hit(page: Page, box: Node, one: Experiment) -> None:
    stages = {(line["step"], line["stage"]): line for line in one.of("stage-started")}
    for row, plan in zip(_rows(box), one.plans, strict=False):
        stage, ends = stages.get((plan["step"], plan["stage"])), one.about(plan, "undo-ended")
        attempts = sum(line["attempts"] for line in ends)
        of_stage = [stage["stage"] + 1, stage["stages"], *as_written(stage["radius"])] if stage else []
        page.claim(row.one("th"), of_stage)
        targets, reached, _, undo = row.all("td")
        page.claim(targets, [len(plan["targets"]) - 12] if len(plan["targets"]) > 12 else [])
        page.claim(reached, reach(plan))
        off = one.about(plan, "fault-written-off")
        left = [*(minute(off[-1]["at"]) if off else []), attempts]
        page.claim(undo, left if one.undone_at(plan) is None else [duration(ends[-1]["took_s"]), attempts])


def _alerts(page: Page, box: Node, one: Experiment) -> None:
    columns = [head.text for head in box.all("th", scope="col")]
    bodies, alerts = box.all("tbody"), one.alerts()
    if len(bodies) != len(alerts):
        page.wrong.append(f"{len(bodies)} alerts are shown, expected {len(alerts)}")
    for body, alert in zip(bodies, alerts, strict=False):
        head, cells = body.all("tr")
        page.claim(head, [duration(alert["expected"]["within_s"])] if alert["expected"] else [])
        for cell, column in zip(cells.all("td"), columns, strict=True):
            page.claim(cell, course(alert, column, one))


def course(alert: Line, column: str, one: Experiment) -> list[Number]:
    """What must stand in this column of an alert's row."""
    state = column.lower()
    match state:
        case "rule" if alert["expected"]:
            found = alert["examined"] or {}
            best, most = found.get("at_best_s"), found.get("at_most_s")
            if most is None or found.get("error"):
                return []
            return [duration(most)] if best in (None, most) else [duration(best), duration(most)]
        case "resolved" if None not in (alert["firing"], alert["resolved"]):
            return [duration(alert["resolved"] - alert["firing"])]
        case "fired" | "notified" | "acknowledged" if one.injected_at is not None:
            states = ["firing", "pending"] if state == "fired" else [state]
            return [duration(alert[name] - one.injected_at) for name in states if alert[name] is not None]
        case "dashboard" if alert["expected"]:
            boards = one.dashboards_of(alert)
            panels = [panel for board in boards for panel in asked(board)]
            if any(board["found"] is False for board in boards) or all(board["found"] is None for board in boards):
                return []
            return [sum(panel["state"] == "data" for panel in panels), len(panels)] if panels else []
    return []


def asked(board: Line) -> list[Line]:
    return [panel for panel in board.get("panels", []) if panel["state"] != "unknown"]


def _on_call(page: Page, box: Node, one: Experiment) -> None:
    for row, line in zip_longest(_rows(box), one.of("on-call-examined")):
        call = line["on_call"]
        _, until, _, nobody = row.all("td")
        page.claim(until, minute(call["until"]) if call.get("until") is not None else [])
        holes = [[*minute(a), *(minute(b)[date(a) == date(b) :])] for a, b in call.get("holes", [])]
        page.claim(nobody, [number for hole in holes for number in hole])


def _steps(page: Page, box: Node, one: Experiment) -> None:
    for row, line in zip_longest(_rows(box), one.followed()):
        info = line["step"]
        _, who, after, _ = row.all("td")
        page.claim(row.one("th"), [info["step"]] if info.get("section") and info.get("step") else [])
        page.claim(who, [clock(line["at"])])
        page.claim(after, [duration(info.get("seconds", 0.0))])


def _boards(page: Page, box: Node, one: Experiment) -> None:
    for row, board in zip_longest(_rows(box), one.dashboards()):
        panels = board.get("panels", [])
        by_state = {
            state: [panel for panel in panels if panel["state"] == state]
            for state in ("data", "empty", "error", "unknown")
        }
        compared = [panel for panel in panels if "moved" in panel]
        moved = [panel for panel in compared if panel["moved"]]
        cells = row.all("td")
        page.claim(cells[0], [len(by_state["data"]), len(asked(board))] if board["found"] and asked(board) else [])
        for cell, state in zip((cells[1], cells[2], cells[4]), ("empty", "error", "unknown"), strict=True):
            page.claim(cell, untitled(by_state[state]) if board["found"] else [])
        counts: list[Number] = [len(moved), len(compared)] if moved else [len(compared)] if compared else []
        page.claim(cells[3], [*counts, *untitled(moved)] if board["found"] else [])


def untitled(panels: list[Line]) -> list[Number]:
    return [panel["id"] for panel in panels if not panel["title"]]


def _timeline(page: Page, article: Node, one: Experiment) -> None:
    lists = article.all("ol", class_="timeline")
    items = lists[0].all("li") if lists else []
    entries = timeline(one)
    zero = one.injected_at if one.injected_at is not None else min((at for at, *_ in entries), default=0.0)
    if len(items) != len(entries):
        page.wrong.append(f"{len(items)} lines of the timeline are shown, expected {len(entries)}")
    for item, (at, kind, said) in zip(items, entries, strict=False):
        when, what, text = item.one("span", class_="t"), item.one("span", class_="k"), item.one("span", class_="what")
        if (what.text, when.attributes["title"]) != (kind, f"{clock(at)} UTC"):
            page.wrong.append(f"{item.text[:80]!r}: expected {kind} at {clock(at)}")
        page.claim(when, [since(at - zero)])
        page.claim(text, said)


def since(seconds: float) -> Quantity:
    """A moment on an axis, to a tenth of a second where there is room for it; of zero no unit is said."""
    shown = duration(round(seconds, 1))
    return Quantity(seconds, "s" if abs(seconds) >= 0.05 else "", max(shown.within, 0.0500001))


def _appendix(page: Page, raw: Raw, start: float, end: float) -> None:
    section = page.root.one("section", class_="appendix")
    terms = {head.text: value for head, value in zip(section.all("dt"), section.all("dd"), strict=True)}
    ended = raw.of("session-ended")
    page.claim(terms["Began"], [iso(start) or ""])
    page.claim(terms["Journal ends"], [iso(end) or ""])
    page.claim(terms["Exit status"], [ended[-1]["exit_code"]] if ended else [])
    if terms["gameday"].claim().text != (raw.session["gameday"] if raw.session else "unknown"):
        page.wrong.append(f"the version {terms['gameday'].text!r} is not the session's")
    aborts = [*raw.of("abort-requested"), *raw.of("guardian-started")]
    heads = [head for head in section.all("dt") if " UTC" in head.text]
    page.claim_all(heads, [[clock(line["at"])] for line in (*aborts, *notes(raw))], "aborts and notes")
    checks = raw.of("preflight-checked")
    tables = section.all("div", aria_label="Preflight checks")
    rows = _rows(tables[0]) if tables else []
    experiments = [line.get("experiment") for line in checks]
    page.claim_all([row.one("th") for row in rows], [[] if e is None else [e + 1] for e in experiments], "checks")
    notices = section.all("p", class_="small")
    unread = [notice.claim().text for notice in notices if "could not be read" in notice.text]
    lost = [int(number) for text in unread for number in re.findall(r"^\d+|(?<= line )\d+", text)]
    if lost != ([len(raw.unread_lines), *raw.unread_lines] if raw.unread_lines else []):
        page.wrong.append(f"{unread}: expected the lines {raw.unread_lines}")
    sinks = raw.of("sink-failed")
    counts = [sum(line["sink"] == name for line in sinks) for name in dict.fromkeys(line["sink"] for line in sinks)]
    failed = [notice for notice in notices if " failed " in notice.text and "could not" not in notice.text]
    page.claim_all(failed, [[] if count == 1 else [count] for count in counts], "sinks")
    (footer,) = page.root.all("footer")
    if footer.claim().text != f"All times are UTC (+00:00). Rendered by gameday {__version__}, journal format 1.":
        page.wrong.append(f"the footer says {footer.text!r}")
