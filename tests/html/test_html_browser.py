"""The page in headless Chromium: sorting, filters, switches, figures, samples, drawer, keyboard, phone, dark, print."""

from __future__ import annotations

import re

import pytest

from creditbench.report.html import build_html
from tests.html.synthetic import make_suite

pytestmark = pytest.mark.browser
READY = "html[data-ready=true]"


@pytest.fixture
def visit(chromium, page):
    """Open the page; at the end nothing may have been logged, thrown or asked of the network."""
    opened = []

    def go(width: int = 1400, height: int = 900, at: str = "", init: str = "", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        tab, seen = context.new_page(), []
        tab.on("console", lambda m: seen.append(f"console {m.type}: {m.text}"))
        tab.on("pageerror", lambda e: seen.append(f"error: {e}"))
        tab.on("request", lambda r: seen.append(f"request: {r.url}") if not r.url.startswith(page.as_uri()) else None)
        if init:
            tab.add_init_script(init)
        tab.goto(page.as_uri() + at)
        if options.get("java_script_enabled", True):
            tab.wait_for_selector(READY)
            tab.wait_for_selector("#samples .viewer, #samples .callout")
        opened.append((context, seen))
        return tab

    yield go
    for context, seen in opened:
        context.close()
        assert seen == []


def arms(tab) -> list[str]:
    return tab.eval_on_selector_all(".board tbody tr[data-arm]", "rows => rows.map(r => r.dataset.arm)")


def numbers(tab, column: str) -> list[float]:
    texts = tab.eval_on_selector_all(f".board td.c-{column}", "cells => cells.map(c => c.firstChild.textContent)")
    return [float(t.replace("\u2212", "-").replace("–", "nan").split()[0]) for t in texts]


def pick(tab, group: str, option: str) -> None:
    tab.locator(f'[role=radiogroup][aria-label="{group}"] label', has_text=re.compile(f"^{re.escape(option)}$")).click()


def test_sorting_by_click_and_by_keyboard(visit):
    tab = visit()
    assert numbers(tab, "score") == sorted(numbers(tab, "score"), reverse=True)
    tab.click('[data-sort="tokens"]')
    assert numbers(tab, "tokens") == sorted(numbers(tab, "tokens"))
    assert tab.get_attribute(".board th.c-tokens", "aria-sort") == "ascending"
    tab.keyboard.press("Enter")  # the header keeps the focus after sorting
    assert numbers(tab, "tokens") == sorted(numbers(tab, "tokens"), reverse=True)
    assert "o=tokens" in tab.url and "d=1" in tab.url
    tab.click('[data-sort="arm"]')
    assert arms(tab) == sorted(arms(tab))


def test_filter_and_kinds(visit):
    tab = visit()
    assert len(arms(tab)) == 7
    tab.fill("#filter", "grpo")
    assert set(arms(tab)) == {"grpo", "sc_grpo", "sc_grpo+permuted"}
    assert tab.inner_text("#found") == "3 of 7 arms"
    tab.uncheck('.kinds input[value="placebo"]')
    assert set(arms(tab)) == {"grpo", "sc_grpo"}
    tab.fill("#filter", "external model")  # the card's word for what a method is told
    assert arms(tab) == ["opd"]
    tab.fill("#filter", "nothing like this")
    assert arms(tab) == [] and "No arm matches" in tab.inner_text("#board")


def test_switches_of_track_metric_and_claim(visit):
    tab = visit()
    pick(tab, "Track", "math")
    assert tab.inner_text("#h-summary") == "Track math"
    narrow = tab.inner_text('.board tr[data-arm="opd"] .c-score .ci')
    score = tab.inner_text('.board tr[data-arm="opd"] .score')
    pick(tab, "Claim about", "These problems")
    assert tab.inner_text('.board tr[data-arm="opd"] .score') == score
    assert tab.inner_text('.board tr[data-arm="opd"] .c-score .ci') != narrow
    pick(tab, "Metric", "pass@4")
    assert float(tab.inner_text('.board tr[data-arm="opd"] .score')) > float(score)
    pick(tab, "Track", "agent")
    assert "reward" in tab.inner_text("#controls")
    tab.reload()
    tab.wait_for_selector(READY)
    assert tab.inner_text("#h-summary") == "Track agent"  # the address keeps the view


def test_radio_buttons_work_with_arrow_keys(visit):
    tab = visit()
    pick(tab, "Track", "agent")
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#h-summary") == "Track math"
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#h-summary") == "Track agent"  # focus survived the redrawing


def test_figures_are_drawn_and_follow_their_switches(visit):
    tab = visit()
    for part in ("differences", "learning", "budget", "cost", "placebos"):
        assert tab.locator(f"#{part} svg[role=img]").count() >= 1, part
    assert tab.locator("#learning .multiples figure").count() == 4  # grpo, opd, cast, sc_grpo
    tab.click('#learning .chip[data-arm="cast+permuted"]')
    tab.wait_for_function("document.querySelectorAll('#learning .multiples figure').length === 5")
    pick(tab, "Panels", "together")
    tab.wait_for_function("document.querySelectorAll('#learning svg[role=img]').length === 1")
    before = tab.get_attribute("#differences svg[role=img]", "aria-label")
    pick(tab, "Judged against", "vs base")
    assert tab.get_attribute("#differences svg[role=img]", "aria-label") != before
    tab.click("#differences .numbers summary")
    assert tab.locator("#differences .numbers tbody tr").count() == 6
    assert tab.locator("#placebos .verdicts li").count() == 2


def test_pairwise_cells_are_antisymmetric_and_say_themselves_in_words(visit):
    tab = visit()
    cell = '#pairs button[aria-label^="opd minus grpo"]'
    other = tab.inner_text('#pairs button[aria-label^="grpo minus opd"]')
    assert tab.inner_text(cell).replace("+", "") == other.replace("\u2212", "")
    assert tab.locator("#pairs button[tabindex='0']").count() == 1  # one stop of the Tab key for the whole matrix
    tab.focus(cell)
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowRight")
    assert "opd minus grpo" in tab.inner_text("#pair-words") and "(Holm)" in tab.inner_text("#pair-words")


def test_paper_panel_shows_verdicts_as_text(visit):
    tab = visit()
    assert tab.locator("#papers tbody tr").count() == 4
    assert "<b>grpo</b>" in tab.inner_text("#papers") and "reproduced" in tab.inner_text("#papers")
    assert "41.0" in tab.inner_text("#papers")


def test_from_the_heat_map_to_one_sample_by_keyboard(visit):
    tab = visit()
    tab.focus("#problems canvas")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowRight")
    said = tab.inner_text("#problems .readout")
    arm, problem = re.match(r"(\S+) · (\S+): \d+ of 12", said).groups()
    tab.keyboard.press("Enter")
    tab.wait_for_function(f"document.querySelector('.samplehead').textContent.includes('{problem}')")
    assert tab.inner_text(".samplehead h3").startswith(arm)
    assert tab.evaluate("document.activeElement.id") == "h-samples"
    assert "s=" in tab.url


def test_a_hostile_sample_is_shown_and_does_not_run(visit):
    tab = visit(at="#t=math&b=toy_math&s=grpo/0/0/0")
    tab.wait_for_selector("#sample .completion")
    shown = tab.inner_text("#sample .completion")
    assert "</script><script>window.__pwned = 1</script>" in shown and "${alert(1)}" in shown
    assert "⟨U+202E⟩" in shown and "⟨U+0000⟩" in shown  # reordering and control characters are spelled out
    assert tab.inner_text("#sample .prompt") == "Add 0 and 0. <b>Be brief</b>"
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.__pwned") is None
    assert tab.locator("main img, main iframe").count() == 0


def test_samples_by_dot_outcome_and_arrow(visit):
    tab = visit(at="#t=agent&b=toy_shop&s=opd/1/3/2")
    tab.wait_for_selector("#sample .turns")
    assert tab.locator("#sample .turns li").count() == 3
    assert tab.locator(".dot[aria-current]").get_attribute("title").startswith("opd, seed 1, sample 2")
    tab.click('[data-next="wrong"]')
    tab.wait_for_function("document.querySelector('#outcome').textContent === 'wrong'")
    tab.click('[aria-label="Next problem"]')
    tab.click('.dot[title^="cast, seed 2, sample 3"]')
    tab.wait_for_function("document.querySelector('.samplehead').textContent.startsWith('cast seed 2')")
    assert tab.locator(".dots .dot").count() == 7 * 3 * 4
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('.dot[aria-current]').title.startsWith('cast, seed 2, sample 2')")
    assert tab.evaluate("document.activeElement.title").startswith("cast, seed 2, sample 2")


def test_provenance_drawer_has_the_command_and_gives_the_focus_back(visit):
    tab = visit()
    tab.click('.arm[data-arm="sc_grpo"]')
    assert tab.get_attribute('.arm[data-arm="sc_grpo"]', "aria-expanded") == "true"
    tab.click('.detail [data-provenance="2"]')
    tab.wait_for_selector("#drawer .facts")
    words = tab.inner_text("#drawer")
    assert "snakemake --cores all --config suite=toy methods=sc_grpo seeds=2" in words
    assert "D3" in words and "Training run" in words and "Evaluation" in words
    tab.locator("#drawer summary", has_text="manifest.json").first.click()
    assert '"kind": "run"' in tab.inner_text("#drawer details[open] pre")
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.provenance") == "2"


@pytest.mark.parametrize("width", [390, 768, 900, 1024, 1200, 1400])
def test_nothing_is_wider_than_the_window(visit, width):
    tab = visit(width=width, height=844)
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        tab.evaluate("document.querySelector('#board').scrollWidth - document.querySelector('#board').clientWidth") <= 1
    )


def test_phone_table_is_cards_with_labels(visit):
    tab = visit(width=390, height=844)
    tab.select_option(".pick.onphone select", "arm")
    assert arms(tab) == sorted(arms(tab))
    label = tab.evaluate("getComputedStyle(document.querySelector('.board td.c-ref'), '::before').content")
    assert label == '"vs grpo"'


def test_colours_follow_the_system_and_the_switch(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = visit(color_scheme="dark")
    assert dark.evaluate(ground) == "rgb(17, 20, 24)"
    pick(dark, "Colours", "light")
    assert dark.evaluate(ground) == "rgb(246, 245, 241)"
    light = visit(color_scheme="light")
    assert light.evaluate(ground) == "rgb(246, 245, 241)"
    pick(light, "Colours", "dark")
    assert light.evaluate(ground) == "rgb(17, 20, 24)"


def test_every_control_has_a_name_and_the_skip_link_comes_first(visit):
    tab = visit()
    controls = "button, a, select, input, canvas, summary"
    named = "e => e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')?.textContent.trim()"
    assert all(tab.eval_on_selector_all(controls, f"all => all.map({named})"))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_an_old_browser_keeps_the_tables_and_says_what_is_missing(visit):
    tab = visit(init="delete window.DecompressionStream")
    assert len(arms(tab)) == 7 and tab.locator("#differences svg[role=img]").count() == 1
    assert "cannot unpack" in tab.inner_text("#learning") and "cannot unpack" in tab.inner_text("#samples")


def test_without_scripts_the_ranking_is_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator("noscript table tbody tr").count() == 14 or "opd" in tab.content()


def test_a_track_with_two_benchmarks_opens_on_both_together(chromium, tmp_path, root):
    folder = make_suite(
        tmp_path / "r", root, arms=("base", "grpo", "opd"), n_problems=8, k=2, tracks=("math",), both=True
    )
    made = build_html(folder, tmp_path / "two.html", root=root)
    tab, errors = chromium.new_page(), []
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.goto(made.as_uri())
    tab.wait_for_selector(READY)
    assert tab.input_value("#controls select") == "*"
    means = tab.evaluate("""() => { const g = JSON.parse(document.getElementById('core').textContent).groups;
        return Object.values(g).map(v => v.scores['avg@2'].opd.reduce((a, b) => a + b) / 3); }""")
    assert float(tab.inner_text('.board tr[data-arm="opd"] .score')) == pytest.approx(50 * sum(means), abs=0.06)
    assert "choose a benchmark" in tab.inner_text("#differences")
    tab.select_option("#controls select", "toy_shop")
    assert "vs grpo" in tab.inner_text(".board thead") and "toy_shop" in tab.inner_text("#samples")
    tab.close()
    assert errors == []


def test_the_two_views_stand_side_by_side_and_switch_the_table(chromium, tmp_path, root):
    arms_ = ("base", "grpo", "opd", "cast", "sc_grpo", "sc_grpo+permuted", "sc_grpo@matched", "cast@matched")
    folder = make_suite(tmp_path / "r", root, arms=arms_, n_problems=12, k=2, tracks=("math",))
    made = build_html(folder, tmp_path / "views.html", root=root)
    errors = []
    for width in (1400, 390):
        tab = chromium.new_page(viewport={"width": width, "height": 844})
        tab.on("pageerror", lambda e: errors.append(str(e)))
        tab.on("console", lambda m: errors.append(m.text))
        tab.goto(made.as_uri())
        tab.wait_for_selector(READY)
        tab.wait_for_timeout(300)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert len(arms(tab)) == 8
        pick(tab, "View", "as published")
        assert set(arms(tab)) == {"base", "grpo", "opd", "cast", "sc_grpo", "sc_grpo+permuted"}
        pick(tab, "View", "matched")
        assert set(arms(tab)) == {"base", "grpo", "cast@matched", "sc_grpo@matched"}
        assert "v=matched" in tab.url
        tab.reload()
        tab.wait_for_selector(READY)
        assert set(arms(tab)) == {"base", "grpo", "cast@matched", "sc_grpo@matched"}
        rows = tab.locator("#views table").first.locator("tbody tr")
        names = [rows.nth(i).locator("th").inner_text() for i in range(rows.count())]
        assert names == ["base", "cast", "grpo", "sc_grpo"]
        assert "cast minus cast@matched" in " ".join(tab.inner_text("#views").split())
        tab.close()
    assert errors == []


def test_equal_length_effort_and_data_are_tables_of_the_page(visit, tables):
    tab = visit(at="#t=math")
    row = next(
        r for r in tables.rows["length"]
        if (r["track"], r["family"], r["estimand"], r["method_a"]) == ("math", "grpo", "superpopulation", "opd")
    )  # fmt: skip
    shown = " ".join(tab.locator("#length tbody tr", has_text="opd").inner_text().split()).replace("\u2212", "-")
    assert f"{100 * row['at_equal_length']:+.1f}" in shown and f"{row['length_ratio']:.2f}" in shown
    equal = {r["method"]: r for r in tables.rows["equal"] if (r["track"], r["equal"]) == ("math", "tokens")}
    words = tab.inner_text("#views")
    assert "no @matched arm" in words and f"{100 * equal['opd']['training_accuracy']:.1f}" in words
    assert tab.locator("#data tbody tr").count() == 7
    pick(tab, "Judged against", "vs base")
    tab.wait_for_timeout(50)
    pick(tab, "Track", "agent")
    assert tab.locator("#length tbody tr").count() == 6


def test_print_shows_tables_and_hides_controls(visit):
    tab = visit()
    tab.emulate_media(media="print")
    assert not tab.is_visible(".toc") and not tab.is_visible("#samples") and tab.is_visible(".board")
    assert len(tab.pdf()) > 50_000
