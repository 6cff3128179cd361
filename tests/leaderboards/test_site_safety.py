"""Texts of models and data sets in a real browser: they are shown, and do nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import quiet, texts, visit
from synthetic import FakeRun, outcomes, write_run

from sprint_eval.leaderboards.build import build

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'></textarea></script>"
    "<a href='javascript:window.hacked=3'>x</a> $\\text{<img src=x onerror=window.hacked=4>}$ "
    "<svg onload=window.hacked=5> \u2028 `${window.hacked=6}` </title> -->"
)


def test_hostile_texts_do_nothing(browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import synthetic

    plain = synthetic.question

    def hostile_question(index: int) -> dict[str, str]:
        hostile = {"question": HOSTILE, "answer": HOSTILE} if index == 0 else {}
        return plain(index) | hostile

    monkeypatch.setattr(synthetic, "question", hostile_question)
    monkeypatch.setattr(synthetic, "SUBJECTS", (HOSTILE, "calm"))
    run = FakeRun(HOSTILE, f"pretrained={HOSTILE}", {"pool": [HOSTILE]}, questions=4, n=2, heads=[HOSTILE])
    correct = outcomes(run)
    assert correct.shape == (4, 2)
    original = synthetic.rows

    def hostile_rows(*arguments: Any) -> list[dict[str, Any]]:
        made = original(*arguments)
        for row in made:
            for candidate in row["candidates"]:
                candidate |= {"extracted": HOSTILE, "status": HOSTILE}
        return made

    monkeypatch.setattr(synthetic, "rows", hostile_rows)
    monkeypatch.setattr(synthetic, "int", lambda text: 1, raising=False)
    write_run(tmp_path / "results", run, dict.fromkeys(((q, k) for q in range(4) for k in range(2)), HOSTILE))
    write_run(tmp_path / "results", FakeRun(questions=4, n=2, date=run.date + 1))
    build([tmp_path / "results"], tmp_path / "out", title=HOSTILE, plots=False)
    url = (tmp_path / "out" / "index.html").as_uri()
    for view in ("ranking", "curves", "cost", "pairs", "questions", "runs", "overview"):
        visit(browser, f"{url}#view={view}&find=", "main *")
        time.sleep(0.15)
        safe(browser)
    for question in range(4):
        visit(browser, f"{url}#view=questions&question={question}", ".candidate")
        safe(browser)
    assert any("onerror" in text for text in texts(browser, ".candidate .text")), "the text itself is shown"


def safe(browser: Chrome) -> None:
    """No script of a text has run, and no element was made of it."""
    assert browser.execute_script("return window.hacked") is None
    made = "img, iframe, textarea, main script, a[href^=javascript], [onerror], [onload]"
    assert browser.find_elements("css selector", made) == []
    quiet(browser)


def test_policy_stops_what_is_injected(browser: Chrome, site: str) -> None:
    """Were a text to become markup after all, the policy would still keep it from running."""
    visit(browser, site, "table.ranking")
    browser.execute_script(
        """
        const box = document.createElement("div");
        const script = document.createElement("script");
        document.body.append(box);
        const tries = [
          () => { box.setAttribute("onclick", "window.hacked=1"); box.click(); },
          () => { script.textContent = "window.hacked=2"; document.body.append(script); },
          () => { box.innerHTML = "<img src=x onerror='window.hacked=3'>"; },
          () => { eval("window.hacked=4"); },
          () => { location.href = "javascript:window.hacked=5"; },
        ];
        // The driver's own scripts are let through; what they leave to a timer is not.
        for (const attempt of tries) {
          setTimeout(() => { try { attempt(); } catch (error) { /* refused at once */ } });
        }
        """
    )
    time.sleep(0.2)
    assert browser.execute_script("return window.hacked") is None
    browser.get_log("browser")


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        (r"\frac12", ["mfrac", "mn", "mn"]),
        (r"\sqrt[3]{x^2}", ["mroot", "msup", "mi", "mn", "mn"]),
        (r"x_1^{2}", ["msubsup", "mi", "mn", "mn"]),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", ["mtable"]),
        (r"\left(\frac{a}{b}\right)", ["mfrac", "mo"]),
        (r"\sum_{i=1}^{n} i", ["munderover"]),
        (r"\boxed{\text{no <b>}}", ["mtext"]),
    ],
)
def test_latex_becomes_mathml(browser: Chrome, site: str, source: str, tags: list[str]) -> None:
    if "table.ranking" not in browser.page_source:
        visit(browser, site, "table.ranking")
    found = browser.execute_script(
        "return [...SE.math(arguments[0], false).querySelectorAll('*')].map((e) => e.tagName)", source
    )
    assert set(tags) <= set(found)


@pytest.mark.parametrize(
    "source",
    [
        r"\unknown{x}",
        "{" * 3000,
        "{" * 200 + "}" * 200,
        r"\frac{1}",
        r"\begin{pmatrix}1",
        "x_",
        r"\left(",
        "a}b",
        r"\begin{foo}\end{foo}",
    ],
)
def test_latex_that_is_not_understood_stays_text(browser: Chrome, site: str, source: str) -> None:
    if "table.ranking" not in browser.page_source:
        visit(browser, site, "table.ranking")
    assert browser.execute_script("return SE.math(arguments[0], false)", source) is None
    shown = browser.execute_script("return SE.prose('a $' + arguments[0] + '$ b').join('')", source)
    assert shown == f"a ${source}$ b"


def test_money_is_no_formula(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    for text in (
        "He has $5 and she has $7.",
        "From $3 to $12, or $5-$10.",
        "It costs $2.50 per pen, so $5 for two pens and $7",
    ):
        assert browser.execute_script("return SE.prose(arguments[0]).length", text) == 1, text
    assert browser.execute_script("return SE.prose('so $x=5$ and $7').length") == 3
