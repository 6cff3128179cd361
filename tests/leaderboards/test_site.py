"""The page in a real browser, opened from disk: what a reader does."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import click, quiet, texts, until, visit, wait
from synthetic import FakeRun, five_methods, foreign, write_run

from sprint_eval.leaderboards.build import build

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PAIRS = "#view=pairs"


def names(browser: Chrome) -> list[str]:
    return texts(browser, "tbody .name .method")


def state(browser: Chrome) -> str:
    return browser.current_url.partition("#")[2]


def test_ranking_shows_the_board_s_order(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    assert len(names(browser)) == 5
    scores = [float(text) for text in texts(browser, "td.strong")]
    assert scores == sorted(scores, reverse=True)
    assert len(texts(browser, "td.plot svg")) == 5
    assert "hf greedy" in texts(browser, "tr.reference")[0]
    quiet(browser)


def test_rows_of_several_base_models_say_which(browser: Chrome, site: str, tmp_path: Path) -> None:
    visit(browser, site, "table.ranking")
    assert texts(browser, "tbody .name small") == []
    write_run(tmp_path / "results", FakeRun(questions=5))
    other = FakeRun("vllm", "pretrained=org/<b>other", questions=5, date=1.7e9)
    write_run(tmp_path / "results", other)
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    visit(browser, (tmp_path / "out" / "index.html").as_uri(), "table.ranking")
    shown = dict(zip(names(browser), texts(browser, "tbody .name small"), strict=True))
    assert shown == {"hf greedy": "tiny-model", "vllm greedy": "<b>other"}
    quiet(browser)


def test_sorting_by_a_column_both_ways(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    click(browser, "#sort-method")
    until(lambda: names(browser) == sorted(names(browser), key=str.lower))
    assert browser.find_element("css selector", "th[aria-sort=ascending]").text.startswith("Method")
    click(browser, "#sort-method")
    until(lambda: names(browser) == sorted(names(browser), key=str.lower, reverse=True))
    silent = {"hf T=0.6", "hf greedy"}
    for direction in ("descending", "ascending"):
        click(browser, "#sort-decode_seconds")
        wait(browser, f"th[aria-sort={direction}] #sort-decode_seconds")
        assert set(names(browser)[-2:]) == silent, "unknown comes last"
    quiet(browser)


def type_keys(browser: Chrome, keys: str) -> None:
    """Key by key to whatever has the focus then: the page draws itself anew after each."""
    from selenium.webdriver import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def test_search_filters_and_keeps_the_focus(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    field = wait(browser, "#find")
    field.click()
    type_keys(browser, "hf gr")
    until(lambda: names(browser) == ["hf greedy"])
    assert browser.switch_to.active_element.get_attribute("value") == "hf gr"
    type_keys(browser, "zz")
    assert "No method is left" in wait(browser, ".empty").text


def test_methods_are_picked(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    click(browser, "#methods-summary")
    boxes = browser.find_elements("css selector", "#methods input")
    assert all(box.is_selected() for box in boxes)
    click(browser, "#methods li:nth-child(1) label")
    until(lambda: len(names(browser)) == 4)
    assert wait(browser, "#methods").get_attribute("open") is not None
    click(browser, "#pick-none")
    until(lambda: names(browser) == [])
    click(browser, "#methods li:nth-child(2) label")
    until(lambda: len(names(browser)) == 1)
    click(browser, "#pick-all")
    until(lambda: len(names(browser)) == 5)


def test_score_and_k(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    click(browser, "#k-1")
    until(lambda: texts(browser, "#sort-score") == ["pass@1"])
    click(browser, "#Score-maj")
    until(lambda: texts(browser, "#sort-score") == ["maj@1"])
    assert "k=1" in state(browser)


def test_a_link_shows_another_reader_the_same(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    click(browser, "#k-2")
    until(lambda: texts(browser, "#sort-score") == ["pass@2"])
    click(browser, "#sort-method")
    wait(browser, "th[aria-sort=ascending] #sort-method")
    wait(browser, "#find").send_keys("h")
    until(lambda: "find=h" in state(browser) and len(names(browser)) < 5)
    before, link = names(browser), browser.current_url
    visit(browser, link, "table.ranking")
    assert names(browser) == before
    assert texts(browser, "#sort-score") == ["pass@2"]
    assert wait(browser, "#find").get_attribute("value") == "h"
    visit(browser, site + "#view=nonsense&k=99&t=zz&sort=<b>&constructor=1", "table.ranking")
    assert len(names(browser)) == 5
    quiet(browser)


def test_curves_and_cost_are_drawn(browser: Chrome, site: str) -> None:
    visit(browser, site + "#view=curves", "svg.chart")
    assert len(texts(browser, ".curve")) == 5
    assert len(texts(browser, ".chart .end")) == 5
    click(browser, "#tab-cost")
    wait(browser, ".dot")
    assert len(texts(browser, ".dot")) == 3
    assert "hf greedy" in texts(browser, ".legend")[0], "runs that state no tokens are named"
    front = browser.find_element("css selector", ".front").get_attribute("d")
    click(browser, "#Axis-1")
    until(lambda: browser.find_element("css selector", ".front").get_attribute("d") != front)
    quiet(browser)


def test_pairs_say_how_sure(browser: Chrome, site: str) -> None:
    visit(browser, site + PAIRS, "table.matrix")
    assert len(texts(browser, ".matrix td button")) == 20
    click(browser, "#pair-0-4")
    wait(browser, "#pair-0-4[aria-pressed=true]")
    facts = dict(zip(texts(browser, ".details dt"), texts(browser, ".details dd"), strict=True))
    assert (
        float(facts["p after Holm's correction"].split()[0]) < 0.05
        or "×" in facts["p after Holm's correction"]
    )
    mirrored = texts(browser, "#pair-0-4")[0].replace("+", "−")
    assert texts(browser, "#pair-4-0")[0] == mirrored
    quiet(browser)


def test_questions_where_two_differ(browser: Chrome, site: str) -> None:
    visit(browser, site + PAIRS, "table.matrix")
    click(browser, "#pair-0-1")
    wait(browser, "#pair-0-1[aria-pressed=true]")
    facts = dict(zip(texts(browser, ".details dt"), texts(browser, ".details dd"), strict=True))
    only = sum(int(value) for name, value in facts.items() if name.startswith("Only"))
    click(browser, "#differ")
    wait(browser, "#found")
    status = texts(browser, "#found")[0]
    assert status.startswith(f"{only} of 60 questions on which")
    assert len(texts(browser, ".questions li")) == only


def test_other_scores_pairs_lead_to_no_list_of_other_questions(browser: Chrome, site: str) -> None:
    """The list goes by the score that the table ranks by."""
    visit(browser, site + PAIRS + "&score=maj", ".details dt")
    assert any(text.startswith("Only ") for text in texts(browser, ".details dt"))
    assert texts(browser, "#differ") == []


def test_parts_of_a_score_make_no_marks_and_no_filters(browser: Chrome, tmp_path: Path) -> None:
    for index, name in enumerate(("one", "two")):
        foreign(tmp_path / "results" / name, name, [0.02, 0.5, 1.0 - index], ("none",), "rouge")
    build([tmp_path / "results"], tmp_path / "out", plots=False)
    page = (tmp_path / "out" / "index.html").as_uri()
    visit(browser, page + "#view=questions&show=differ", ".questions li")
    assert len(texts(browser, ".questions li")) == 3
    assert texts(browser, "#found") == ["3 of 3 questions"]
    assert texts(browser, "#show, #a, #b, .strip, .tally") == []
    visit(browser, page + "#view=questions&question=0", ".candidate")
    assert texts(browser, ".verdict, .chip .yes, .chip .no") == []
    visit(browser, page + PAIRS, ".details dt")
    assert texts(browser, "#differ") == []
    quiet(browser)


def test_where_the_lowest_is_best_a_0_is_right(browser: Chrome, tmp_path: Path) -> None:
    foreign(tmp_path / "results", "one", [0, 0, 1], ("none",), lower=True)
    build([tmp_path / "results"], tmp_path / "out", plots=False)
    page = (tmp_path / "out" / "index.html").as_uri()
    visit(browser, page + "#view=questions&show=none", ".questions li")
    assert [text.split("?")[0] for text in texts(browser, ".questions li")] == ["2"]
    click(browser, ".questions li a")
    wait(browser, ".candidate")
    assert texts(browser, ".candidate .verdict") == ["✗ wrong"]
    quiet(browser)


def test_a_metric_without_a_value_a_question_says_so(browser: Chrome, tmp_path: Path) -> None:
    foreign(tmp_path / "results", "one", [1, 0, 1], ("none",))
    path = next((tmp_path / "results").glob("results_*"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"]["gsm8k"]["f1,none"] = 0.4
    path.write_text(json.dumps(record), encoding="utf-8")
    board = build([tmp_path / "results"], tmp_path / "out", plots=False)
    (table,) = (standing.table.id for standing in board.standings if standing.table.score == "f1")
    for view in ("pairs", "questions"):
        visit(browser, f"{(tmp_path / 'out' / 'index.html').as_uri()}#t={table}&view={view}", ".empty")
        assert "This metric has no value a question." in texts(browser, ".empty")[0]
    quiet(browser)


def test_drill_down_to_the_candidates(browser: Chrome, site: str) -> None:
    visit(browser, site + "#view=questions", ".questions li")
    click(browser, ".questions li:nth-child(3) a")
    wait(browser, ".candidate")
    assert texts(browser, ".gold b")[0].isdigit()
    assert len(texts(browser, ".answer")) == 3
    assert len(texts(browser, ".answer:nth-child(1) .candidate")) == 4
    assert texts(browser, ".heads")[0].startswith("L")
    assert browser.find_elements("css selector", ".candidate math mfrac"), "LaTeX is shown as MathML"
    right = len(texts(browser, ".answer:nth-child(1) .verdict.yes"))
    assert texts(browser, ".answer:nth-child(1) h3 .muted") == [f"{right} of 4 right"]
    first = texts(browser, ".question .ask")
    click(browser, "#next")
    until(lambda: texts(browser, ".question .ask") not in ([], first))
    browser.find_element("css selector", "body").send_keys("\ue012")  # left arrow
    until(lambda: texts(browser, ".question .ask") == first)
    click(browser, ".chip[aria-pressed=false]")
    wait(browser, ".answer:nth-child(4)")
    browser.back()
    quiet(browser)


def test_keyboard_reaches_tabs_and_sorting(browser: Chrome, site: str) -> None:
    visit(browser, site, "table.ranking")
    browser.execute_script("document.getElementById('tab-curves').focus()")
    type_keys(browser, "\n")
    wait(browser, "svg.chart")
    assert browser.switch_to.active_element.get_attribute("id") == "tab-curves"
    visit(browser, site, "table.ranking")
    browser.execute_script("document.getElementById('sort-k1').focus()")
    type_keys(browser, "\n")
    wait(browser, "th[aria-sort=descending] #sort-k1")
    assert "sort=k1" in state(browser)
    assert browser.switch_to.active_element.get_attribute("id") == "sort-k1"


def test_phone_width_has_no_sideways_scrolling(browser: Chrome, site: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 375, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        for view in ("ranking", "curves", "cost", "pairs", "questions", "runs", "questions&question=1"):
            visit(browser, f"{site}#view={view}", "main .controls, main .steps")
            time.sleep(0.1)
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= 375, view
        visit(browser, site, "table.ranking")
        assert len(names(browser)) == 5
        assert wait(browser, "td.plot").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [375, 1280])
def test_long_names_keep_within_the_page(browser: Chrome, tmp_path: Path, width: int) -> None:
    for index, name in enumerate(("x" * 300, "a long name of many words " * 12)):
        run = FakeRun(name, f"pretrained=org/{name}", questions=5, date=1.7e9 + index)
        write_run(tmp_path / "results", run)
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for view in ("ranking", "curves", "cost", "pairs", "questions", "runs", "questions&question=1"):
            url = (tmp_path / "out" / "index.html").as_uri()
            visit(browser, f"{url}#view={view}", "main .controls, main .steps")
            time.sleep(0.1)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, view
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_have_contrast(browser: Chrome, site: str, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        visit(browser, site, "table.ranking")
        ratios = browser.execute_script(CONTRAST)
        assert ratios
        assert min(ratios.values()) >= 4.5, ratios
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d");
const light = (text) => {
  canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const paper = light(getComputedStyle(document.documentElement).backgroundColor);
const ratios = {};
for (const css of [".verdict", ".muted", "tbody .name", "td.numeric", "thead th", ".tabs a"]) {
  const ink = light(getComputedStyle(document.querySelector(css)).color);
  ratios[css] = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}
return ratios;
"""


def test_a_missing_part_is_said(browser: Chrome, tmp_path: Path) -> None:
    five_methods(tmp_path / "results", questions=5)
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    shutil.rmtree(tmp_path / "out" / "data")
    visit(browser, (tmp_path / "out" / "index.html").as_uri() + PAIRS, "[role=alert]")
    assert "is missing" in wait(browser, "[role=alert]").text
    browser.get_log("browser")


def test_several_tables_have_an_overview(browser: Chrome, tmp_path: Path) -> None:
    five_methods(tmp_path / "results", questions=5)
    for index, model in enumerate(("hf", "vllm")):
        info = {"router_trained_on_test": model == "vllm"}
        run = FakeRun(model, info=info, questions=8, task="asdiv_pass_at_n", date=1.7e9 + index)
        write_run(tmp_path / "results", run)
    build([tmp_path / "results"], tmp_path / "out", plots=False, instances=False)
    visit(browser, (tmp_path / "out" / "index.html").as_uri(), "table.overview")
    assert len(texts(browser, ".overview thead th")) == 3
    assert len(texts(browser, ".overview tbody tr")) == 6
    assert texts(browser, ".overview .flag") == ["router trained on test questions"]
    click(browser, ".overview thead a")
    until(lambda: len(names(browser)) == 2)
    quiet(browser)
