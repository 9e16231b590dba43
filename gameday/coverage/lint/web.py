"""Asks other servers whether what runbooks link to is still there: many at once, each with a timeout."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urldefrag

from gameday.common.waiting import within
from gameday.coverage.lint.base import Remark, Rule, at, remark
from gameday.coverage.lint.links import web_links
from gameday.spec.runbook_page import RunbookPage
from gameday.spec.units import excerpt

_TIMEOUT_S = 10.0
_AT_ONCE = 16
_GONE = (404, 410)
# Many servers answer robots, or HEAD, so; a second question, with GET, tells more.
_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; gameday)", "Accept": "*/*"}


def check_web(pages: Iterable[RunbookPage], timeout_s: float = _TIMEOUT_S) -> Iterator[Remark]:
    """Dead links to other servers; for those that did not say clearly, a warning."""
    found = [(page, link, urldefrag(url)[0]) for page in pages for link, url in web_links(page)]
    urls = list(dict.fromkeys(url for _, _, url in found))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(urls, pool.map(lambda url: _ask(url, timeout_s), urls), strict=True))
    for page, link, url in found:
        rule, said = answers[url]
        where = at(page, link.line, link.column)
        if rule is Rule.LINK_DEAD:
            yield remark(rule, where, f"a link to {excerpt(url)} ({said})", "one that leads somewhere")
        elif rule is Rule.LINK_UNKNOWN:
            yield remark(rule, where, f"a link to {excerpt(url)} that may be dead ({said})", "a clear answer")


def _ask(url: str, timeout_s: float) -> tuple[Rule | None, str]:
    """What became of it: a rule and the reason, or None when it is there."""
    status, said = _request("HEAD", url, timeout_s)
    if status is None or status >= 400:
        status, said = _request("GET", url, timeout_s)
    if status is not None and status < 400:
        return None, ""
    return (Rule.LINK_DEAD if status in _GONE else Rule.LINK_UNKNOWN), said


def _request(method: str, url: str, timeout_s: float) -> tuple[int | None, str]:
    """The status at the end of all redirects, None without an answer; and it in words."""
    try:
        address = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = urllib.request.Request(address, headers=_HEADERS, method=method)  # noqa: S310 - http(s), by web_links

        def ask() -> int:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
                return int(response.status)

        status = within(timeout_s, ask)
        return status, f"HTTP {status}"
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, f"HTTP {error.code}"
    except TimeoutError:
        return None, f"no answer within {timeout_s:g} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return None, str(getattr(error, "reason", None) or error)[:100]
