"""Raters' sessions in Chromium: by mouse, by keyboard and on a phone; coming back; pictures at their pixels."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from small_study import make_study, serving

from srgan_jax.study.design import read_design
from srgan_jax.study.store import Store

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium, or set CHROMIUM to its program"),
]


@pytest.fixture(scope="module")
def playwright():
    """Lend what starts browsers."""
    api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    with api.sync_playwright() as started:
        yield started


def launch(playwright, *flags):
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])


@pytest.fixture(scope="module")
def chromium(playwright):
    """Lend a browser."""
    browser = launch(playwright)
    yield browser
    browser.close()


@pytest.fixture
def rater(chromium):
    """Lend a function that opens a rater's browser; at the end no page may have had an error.

    The server ends while pages still load what comes next, so that lost connections (net::ERR_…) are no errors.
    """
    contexts, errors = [], []

    def listen(message):
        if message.type == "error" and "net::ERR_" not in message.text:
            errors.append(message.text)

    def open_page(**options):
        contexts.append(chromium.new_context(**{"locale": "en-US"} | options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def begin(page, link):
    """Go from the link to the first picture."""
    page.goto(link)
    page.check("input[name=consent]")
    page.click("form button")
    personal = page.get_attribute("a.link", "href")
    page.click("#next")
    return personal


def answered(study):
    with Store(study / "answers.sqlite") as store:
        return list(store.rows())


def test_a_session_by_mouse(tmp_path, rater):
    calibration = tmp_path / "calibration"
    calibration.mkdir()
    Image.effect_noise((32, 32), 50).save(calibration / "a.png")
    study = make_study(tmp_path, minimum_seconds=0.2, calibration=calibration)
    with serving(study) as (_, link, _):
        page = rater()
        begin(page, link)
        for grade in ("1 (bad)", "5 (excellent)"):
            assert f"stands for the grade {grade}" in page.inner_text("footer")
            page.click("#next")
        for position in range(9):
            page.wait_for_selector(f"text=Picture {position + 1} of 9")
            page.click(f"button[value='{position % 5 + 1}']")  # waits until it can be clicked
        page.wait_for_selector("text=Thank you!")
    rows = answered(study)
    assert [row.answer.score for row in rows] == [position % 5 + 1 for position in range(9)]
    for row in rows:
        assert row.answer.milliseconds >= 200 and row.answer.ratio == 1 and row.answer.magnification == 1
        assert (row.answer.width, row.answer.height) == (1280, 720)


def test_a_session_by_keyboard(tmp_path, rater):
    study = make_study(tmp_path, minimum_seconds=0.5)
    with serving(study) as (_, link, _):
        page = rater()
        page.goto(link)
        page.focus("input[name=consent]")
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.wait_for_selector("#next")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#answer")
        page.keyboard.press("4")  # too early: nothing happens
        assert page.is_disabled("button[value='4']") and not answered(study)
        ready = "button[value='1']:not([disabled])"
        page.wait_for_selector(ready)
        assert page.evaluate("document.activeElement.tagName") == "BODY"  # no grade is suggested
        page.keyboard.press("4")
        page.wait_for_selector("text=Picture 2 of 9")
        page.wait_for_selector(ready)
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector("text=Picture 3 of 9")
        page.wait_for_selector(ready)
        for key in ("ArrowLeft", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector("text=Picture 4 of 9")
    assert [row.answer.score for row in answered(study)] == [4, 2, 5]


def test_a_phone_is_left_and_another_goes_on(tmp_path, rater):
    study = make_study(tmp_path)
    with serving(study) as (_, link, _):
        page = rater(**PHONE, locale="ko-KR")
        personal = begin(page, link)
        page.wait_for_selector("text=사진 1 / 9")
        for grade in (2, 3):
            page.tap(f"button[value='{grade}']")
            page.wait_for_selector(f"text=사진 {grade} / 9")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
        page.context.close()
        page = rater(**PHONE | {"viewport": {"width": 320, "height": 568}, "device_scale_factor": 2}, locale="de-DE")
        page.goto(personal)
        page.wait_for_selector("text=Bild 3 von 9")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for button in page.query_selector_all("fieldset button"):
            box = button.bounding_box()
            assert box["y"] + box["height"] <= 568 and box["height"] >= 40  # within the window, and for a finger
        page.tap("button[value='5']")
        page.wait_for_selector("text=Bild 4 von 9")
        page.go_back()  # the browser shows the old picture or goes on; in no case is it graded again
        page.goto(link)
        page.wait_for_selector("text=Bild 4 von 9")
    rows = answered(study)
    assert [row.answer.score for row in rows] == [2, 3, 5]
    assert [(row.answer.ratio, row.answer.magnification) for row in rows] == [(3, 3), (3, 3), (2, 2)]


def test_a_double_click_answers_once(tmp_path, rater):
    study = make_study(tmp_path)
    with serving(study) as (_, link, _):
        page = rater()
        begin(page, link)
        page.wait_for_selector("button[value='3']:not([disabled])")
        page.evaluate("() => { const b = document.querySelector(\"button[value='3']\"); b.click(); b.click(); }")
        page.wait_for_selector("text=Picture 2 of 9")
    assert [row.answer.score for row in answered(study)] == [3]


def test_pairs_by_keyboard(tmp_path, rater):
    study = make_study(tmp_path, kind="pairs")
    with serving(study) as (_, link, _):
        page = rater()
        begin(page, link)
        page.wait_for_selector("text=Which version looks better?")
        page.wait_for_timeout(300)
        assert page.is_disabled("button[value='1']")  # the second one was not seen yet
        page.keyboard.press("ArrowRight")
        assert page.is_visible("img.picture >> nth=1") and not page.is_visible("img.picture >> nth=0")
        page.keyboard.press("ArrowLeft")
        assert page.is_visible("img.picture >> nth=0") and not page.is_visible("img.picture >> nth=1")
        page.keyboard.press("2")
        page.wait_for_selector("text=Picture 2 of 9")
        page.click("button[data-side='1']")
        page.click("button[value='1']")
        page.wait_for_selector("text=Picture 3 of 9")
    assert [row.answer.score for row in answered(study)] == [2, 1]


@pytest.mark.parametrize("ratio, magnification", [(1, 1), (1.25, 1), (1.5, 1), (2, 2), (2.625, 2), (3, 3)])
def test_pictures_are_shown_at_their_pixels(tmp_path, playwright, ratio, magnification):
    study = make_study(tmp_path)
    # As a screen has it. Playwright's own device_scale_factor only stretches what was laid out for a ratio of 1.
    browser = launch(playwright, f"--force-device-scale-factor={ratio}", "--window-size=1000,800")
    with serving(study) as (_, link, _):
        page = browser.new_context(no_viewport=True, locale="en-US").new_page()
        begin(page, link)
        page.wait_for_selector("button[value='3']:not([disabled])")
        screen = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
        page.click("button[value='3']")
        page.wait_for_selector("text=Picture 2 of 9")
        browser.close()
    (row,) = answered(study)
    assert row.answer.magnification == magnification and row.answer.ratio == pytest.approx(ratio)
    shown = read_design(study).pictures[row.item.picture][row.item.method]
    levels = np.array(Image.open(study / "pictures" / shown.file)).astype(int)
    wanted = levels.repeat(magnification, 0).repeat(magnification, 1)
    height, width = wanted.shape[:2]
    # Noise is on the grey page only where the picture is: find it, and compare every screen pixel.
    coloured = np.ptp(screen, axis=2) > 40
    rows, columns = np.flatnonzero(coloured.any(1)), np.flatnonzero(coloured.any(0))
    places = [(y, x) for y in range(rows[0] - 2, rows[0] + 3) for x in range(columns[0] - 2, columns[0] + 3)]
    assert any(np.array_equal(screen[y : y + height, x : x + width], wanted) for y, x in places)
