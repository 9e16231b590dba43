"""A runbook's page: sections by their many names, steps, code, links and anchors, each where it stands."""

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.spec.location import SpecError
from gameday.spec.markdown import Fence, parse_markdown, slug
from gameday.spec.runbook import SECTIONS, load_runbook, sections_of
from gameday.spec.runbook_page import read_page, sections_at

ROOT = Path(__file__).parents[2]
PAGE = """\
---
title: Payments is down
alerts: [PaymentsDown, PaymentsSlow]
gameday-ignore: [step-missing]
---
# PaymentsDown

## Meaning
Nobody answers.

## Impact

<!-- nothing yet -->

## Diagnosis and triage

Look first.

1. Which replicas
   are up?
   - the first

     ```sh check
     ls
     ```

   That was it.
2. See [the board](../board.md#top) and https://status.example.org/now.

## Mitigation

### Restart it

Once.

### Drain it

```bash
drain
```
"""


def page_of(tmp_path: Path, text: str = PAGE):
    path = tmp_path / "payments-down.md"
    path.write_text(text)
    return read_page(path)


def test_sections_and_steps(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert page.runbook.missing_sections == ("Impact", "Rollback", "Escalation")
    assert [(section.names, section.title, section.is_empty, section.is_list) for section in page.sections] == [
        ((), "PaymentsDown", True, False),
        (("Symptoms",), "Meaning", False, False),
        (("Impact",), "Impact", True, False),
        (("Diagnosis",), "Diagnosis and triage", False, True),
        (("Mitigation",), "Mitigation", False, False),
    ]
    diagnosis, mitigation = page.sections[3], page.sections[4]
    assert [(step.number, step.line, step.text) for step in diagnosis.steps] == [
        (1, 19, "Which replicas are up?"),
        (2, 21, "the first"),
        (3, 28, "See the board and https://status.example.org/now."),
    ]
    assert diagnosis.steps[0].source == "1. Which replicas\n   are up?"
    assert diagnosis.steps[1].source.endswith("That was it.")
    assert diagnosis.steps[1].checks == (Fence(23, 26, ("sh", "check"), "ls\n"),)
    assert [(step.text, step.source, step.checks) for step in mitigation.steps] == [
        ("Restart it", "### Restart it\n\nOnce.", ()),
        ("Drain it", "### Drain it\n\n```bash\ndrain\n```", ()),
    ]


def test_where_things_stand(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert [(link.line, link.column, link.target) for link in page.document.links] == [
        (28, 20, "../board.md#top"),
        (28, 41, "https://status.example.org/now"),
    ]
    assert str(page.place("alerts", "PaymentsSlow")).endswith(":3:24")
    assert page.ignored == ("step-missing",)


def test_a_runbook_among_others_on_a_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# All\n### ThisDown\n- do\n#### Fix\n- it\n### ThatDown\n- other\n")
    (this, fix) = sections_at(page, "thisdown")
    assert [step.text for step in (*this.steps, *fix.steps)] == ["do", "it"]
    assert sections_at(page, "nobody") == ()


def test_links_of_every_kind() -> None:
    text = "[a][r] <https://auto.org> ![i](i.png) <a href='h.md'>x</a> (see https://bare.org/x_(y)).\n\n[r]: r.md\n"
    links = [link.target for link in parse_markdown(text).links]
    assert links == ["r.md", "https://auto.org", "i.png", "h.md", "https://bare.org/x_(y)"]
    assert parse_markdown("`[a](b.md)`\n\n```\n[a](b.md)\n```\n").links == ()


def test_anchors() -> None:
    document = parse_markdown('# A & `b_c`: D\n# Same\n# Same\n<a name="Own"></a>\n# Mine {#my-own}\nUnder\n=====\n')
    assert document.anchors == {"a--b_c-d", "same", "same-1", "own", "my-own", "mine", "under"}
    assert slug("Über 5 %: was nun?") == "über-5--was-nun"


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Symptoms", ("Symptoms",)),
        ("Meaning", ("Symptoms",)),
        ("2. Investigation:", ("Diagnosis",)),
        ("**Resolution**", ("Mitigation",)),
        (":fire: Impact", ("Impact",)),
        ("Diagnosis & Mitigation", ("Diagnosis", "Mitigation")),
        ("Common causes and solutions", ("Diagnosis", "Mitigation")),
        ("Architecture and impact", ()),
        ("See also", ()),
        ("", ()),
    ],
)
def test_what_sections_are_called(heading: str, names: tuple[str, ...]) -> None:
    assert sections_of(heading) == names


@pytest.mark.parametrize("path", sorted((ROOT / "runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_the_quick_reading_and_the_whole_one_agree(path: Path) -> None:
    assert read_page(path).runbook == load_runbook(path)


def test_a_deeper_heading_belongs_to_its_section(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("## Mitigation\n### Check\nlook\n## Impact\n#### Escalation\nx\n#### Other\ny\n")
    assert load_runbook(path).sections == read_page(path).runbook.sections == ("Mitigation", "Escalation")


def test_underlined_headings(tmp_path: Path) -> None:
    page = page_of(tmp_path, "Meaning\n=======\nx\n\nDiagnosis\n---------\n\nMitigation\n----------\ny\n")
    assert page.runbook.sections == ("Symptoms", "Mitigation")


def test_a_title_that_is_a_section_has_what_stands_below_it(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# Debugging\n## One by one\nx\n## Resolution\ny\n")
    assert load_runbook(path).sections == read_page(path).runbook.sections == ("Diagnosis", "Mitigation")


def test_front_matter_in_toml_is_passed_over(tmp_path: Path) -> None:
    page = page_of(tmp_path, '+++\ntitle = "x"\n+++\n## Impact\nmuch\n')
    assert (page.runbook.sections, page.mistakes) == (("Impact",), ())
    assert page.headings[0].line == 4


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=string.printable + "é\u2028#-*`[](){}<>!|~\n", max_size=300))
def test_any_text_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.md"
    path.write_text(text, newline="")
    try:
        page = read_page(path)
    except SpecError:
        return
    assert set(page.runbook.sections) <= set(SECTIONS)
    last = text.count("\n") + 1
    assert all(1 <= part.line <= last for part in page.document.parts)
    assert all(1 <= link.line <= last for link in page.document.links)
