"""The pages as a rater's browser, and as somebody who means harm, would ask for them."""

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from PIL import Image
from small_study import Browser, fields, make_study, serving
from starlette.responses import PlainTextResponse

from srgan_jax.study.design import read_design, write_design
from srgan_jax.study.guard import BODY, Buckets, Guard
from srgan_jax.study.pages import markdown
from srgan_jax.study.store import Store

EVIL = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with names, questions and a title that try to be scripts."""
    folder = make_study(tmp_path_factory.mktemp("server"), raters=40, title=EVIL, questions=[f"{EVIL}?"], repeats=2)
    (folder / "texts/consent.en.md").write_text(f"{EVIL}\n\n[link](javascript:alert(1)) **bold**\n")
    return folder


@pytest.fixture(scope="module")
def server(study):
    with serving(study) as (_, raters, owner):
        yield raters, owner


@pytest.fixture
def browser(server):
    made = Browser(server[0])
    yield made
    made.close()


def stored(study, browser):
    """Return the scores that are stored for the rater of a browser."""
    token = next(cookie.value for cookie in browser.client.cookies.jar if cookie.name.startswith("rater_"))
    with Store(study / "answers.sqlite") as store:
        rater = store.rater(hashlib.sha256(token.encode()).hexdigest())
        return [row.answer.score for row in store.rows() if row.rater == rater]


def test_a_whole_session(study, browser):
    assert browser.get("/rate").status_code == 403
    began = browser.begin(reply0="about 30")
    assert began.status_code == 303 and began.headers["location"] == "/instructions"
    assert "/r/" in browser.get("/instructions").text
    for position in range(11):
        page = browser.get("/rate")
        assert f"Picture {position + 1} of 11" in page.text
        form = fields(page)
        picture = browser.get(f"/picture/{position}/0")
        assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
        assert browser.get(f"/picture/{position}/1").status_code == 404
        assert browser.get(f"/picture/{position + 2}/0").status_code == 404  # nobody looks ahead
        answer = form | {"score": str(position % 5 + 1), "milliseconds": "1500", "ratio": "1.5", "magnification": "1"}
        assert browser.post("/answer", answer).headers["location"] == "/rate"
    done = browser.get("/rate").text
    assert "Thank you!" in done and 'href="/?another=1&amp;key="' in done
    assert stored(study, browser) == [position % 5 + 1 for position in range(11)]


def test_two_people_share_one_machine(tmp_path):
    study = make_study(tmp_path, per_rater=2)
    with serving(study) as (_, link, _):
        browser = Browser(link)
        for _ in range(2):
            assert browser.begin("/?another=1").headers["location"] == "/instructions"
            assert browser.get("/?another=1").headers["location"] == "/rate"  # not before the first one has finished
            for _ in range(2):
                browser.post("/answer", browser.form() | {"score": "3"})
        browser.close()
    with Store(study / "answers.sqlite") as store:
        assert [rater["answered"] for rater in store.progress()] == [2, 2]


def test_pages_name_no_method(browser):
    browser.begin()
    for path in ("/rate", "/instructions"):
        assert not any(name in browser.get(path).text for name in ("bicubic", "SRGAN", "HR", "Set/"))
    headers = browser.get("/picture/0/0").headers
    assert not any(name in str(headers) for name in ("bicubic", "SRGAN", "filename"))


def test_going_on_with_the_personal_link(study, server, browser):
    browser.begin()
    link = browser.get("/instructions").text.partition('class="link" href="')[2].partition('"')[0]
    browser.post("/answer", browser.form() | {"score": "4"})
    other = Browser(server[0])
    assert other.get(httpx.URL(link).path).headers["location"] == "/rate"
    assert other.form()["position"] == "1"
    other.post("/answer", other.form() | {"score": "2"})
    assert browser.form()["position"] == "2" and stored(study, browser) == [4, 2]
    assert other.get("/r/guessed").status_code == 403
    other.close()


def test_replays_and_wrong_answers_are_refused(study, browser):
    browser.begin()
    form = browser.form() | {"score": "5"}
    assert browser.post("/answer", form).status_code == 303
    assert browser.post("/answer", form).status_code == 409
    assert browser.post("/answer", form | {"score": "1"}).status_code == 409
    form = browser.form()
    assert browser.post("/answer", form | {"score": "1", "position": "7"}).status_code == 409
    for score in ("999", "0", "-1", "3.5", "", "true", "NaN", "Infinity", "1e1", "[1]", "٣", "9" * 5000):
        assert browser.post("/answer", form | {"score": score}).status_code == 400, score
    for field in ("ratio", "milliseconds", "width"):
        assert browser.post("/answer", form | {"score": "3", field: "-1"}).status_code == 400
        assert browser.post("/answer", form | {"score": "3", field: "1e99"}).status_code == 400
    assert browser.post("/answer", {"form": form["form"], "score": "3"}).status_code == 400
    assert stored(study, browser) == [5]


def test_forms_of_other_pages_are_refused(study, server, browser):
    browser.begin()
    form = browser.form() | {"score": "3"}
    for origin in ("http://evil.example", "null", "", f"{browser.base}.evil.example", "http://127.0.0.1:1"):
        assert browser.post("/answer", form, origin=origin).status_code == 403
    assert browser.client.post("/answer", data=form).status_code == 403  # no Origin at all
    other = Browser(server[0])
    other.begin()
    assert other.post("/answer", form).status_code == 403  # another rater's form
    assert browser.post("/answer", form | {"form": "0" * 64}).status_code == 403
    assert browser.post("/answer", form | {"form": "ü"}).status_code == 403
    assert stored(study, browser) == [] == stored(study, other)
    stranger = Browser(server[0])
    assert stranger.post("/begin", {"consent": "yes"}).status_code == 403
    other.close()
    stranger.close()


def test_nobody_takes_part_without_consent(browser):
    refused = browser.begin(consent="no")
    assert refused.status_code == 400 and "tick the box" in refused.text
    assert browser.get("/rate").status_code == 403


def test_other_hosts_methods_and_sizes_are_refused(browser):
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1"):
        assert browser.get("/", headers={"host": host}).status_code in (400, 421)
    assert browser.get("/", headers={"host": "localhost:1234"}).status_code == 200
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert browser.client.request(method, "/rate").status_code == 405
    assert browser.post("/begin", {"reply0": "x" * BODY}).status_code == 413
    chunked = browser.client.post("/begin", content=iter([b"x" * 5000] * 4), headers={"origin": browser.base})
    assert chunked.status_code == 413
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/picture/0/0", "/design.json", "/answers.sqlite"):
        assert browser.get(path).status_code == 404


def test_headers_and_escaping(browser):
    page = browser.get("/")
    assert EVIL not in page.text and "&lt;script&gt;" in page.text
    assert 'href="javascript' not in page.text and "<strong>bold</strong>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["cache-control"] == "no-store"
    assert "server" not in page.headers
    cookies = page.headers.get_list("set-cookie")
    assert cookies and all("HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in cookies)
    secure = browser.get("/", headers={"x-forwarded-proto": "https"})
    assert all("Secure" in cookie for cookie in secure.headers.get_list("set-cookie"))
    browser.begin(reply0=EVIL)
    assert EVIL not in browser.get("/rate").text
    assert (
        markdown("<img src=x onerror=alert(1)> & *a*") == "<p>&lt;img src=x onerror=alert(1)&gt; &amp; <em>a</em></p>\n"
    )


def test_languages(browser):
    assert '<html lang="de">' in browser.get("/", headers={"accept-language": "de-CH, en;q=0.8"}).text
    browser.get("/?language=ko")
    browser.begin("/")
    assert "사진 1 / 11" in browser.get("/rate").text
    assert '<html lang="en">' in browser.get("/rate?language=xx'\">", headers={"cookie": ""}).text


def test_the_owner_sees_counts_by_a_token(study, server, browser):
    browser.begin()
    browser.post("/answer", browser.form() | {"score": "2"})
    page = httpx.get(server[1])
    assert page.status_code == 200 and "1 of 11" in page.text and "of 40 raters" in page.text
    for query in ("", "?key=", "?key=guess"):
        assert browser.get(f"/admin{query}").status_code == 403


def test_a_study_can_be_full(tmp_path):
    with serving(make_study(tmp_path, raters=1)) as (_, link, _):
        first, second = Browser(link), Browser(link)
        assert first.begin().status_code == 303
        full = second.begin()
        assert full.status_code == 403 and "All places" in full.text
        again = first.post("/begin", first.form() | {"consent": "yes"})
        assert again.headers["location"] == "/rate"  # the first rater takes no second place
        first.close()
        second.close()


def test_an_answer_that_comes_too_fast(tmp_path):
    study = make_study(tmp_path, minimum_seconds=30)
    with serving(study) as (_, link, _):
        browser = Browser(link)
        browser.begin()
        assert browser.post("/answer", browser.form() | {"score": "3", "milliseconds": "29999"}).status_code == 429
        assert browser.post("/answer", browser.form() | {"score": "3", "milliseconds": "30000"}).status_code == 303
        early = browser.post("/answer", browser.form() | {"score": "3", "milliseconds": "40000"})
        assert early.status_code == 429 and "too fast" in early.text
        assert stored(study, browser) == [3]
        browser.close()


def test_pairs(tmp_path):
    study = make_study(tmp_path, kind="pairs")
    with serving(study) as (_, link, _):
        browser = Browser(link)
        browser.begin()
        page = browser.get("/rate")
        assert "Which version looks better?" in page.text
        assert browser.get("/picture/0/0").content != browser.get("/picture/0/1").content
        assert browser.get("/picture/0/2").status_code == 404
        assert browser.post("/answer", fields(page) | {"score": "3"}).status_code == 400
        assert browser.post("/answer", fields(page) | {"score": "2"}).status_code == 303
        assert stored(study, browser) == [2]
        browser.close()


def test_examples(tmp_path):
    (tmp_path / "calibration").mkdir()
    Image.effect_noise((16, 16), 50).save(tmp_path / "calibration/a.png")
    with serving(make_study(tmp_path, calibration=tmp_path / "calibration")) as (_, link, _):
        browser = Browser(link)
        assert browser.get("/examples/0").status_code == 403 and browser.get("/example/0").status_code == 404
        browser.begin()
        assert 'href="/examples/0"' in browser.get("/instructions").text
        assert "<b>1</b> (bad)" in browser.get("/examples/0").text
        last = browser.get("/examples/1").text
        assert "<b>5</b> (excellent)" in last and 'href="/rate"' in last
        assert all(browser.get(f"/example/{i}").content.startswith(b"\x89PNG") for i in range(2))
        assert browser.get("/examples/2").status_code == 403 and browser.get("/example/2").status_code == 404
        browser.close()


def test_others_need_the_key(tmp_path):
    study = make_study(tmp_path)
    with serving(study, "--port", "0", "--host", "0.0.0.0", "--name", "studies.example") as (_, link, owner):
        key = httpx.URL(link).params["key"]
        base = f"http://127.0.0.1:{httpx.URL(link).port}"
        browser = Browser(base)
        assert browser.get("/").status_code == 403 and browser.get("/?key=wrong").status_code == 403
        assert browser.get("/", headers={"host": "studies.example"}).status_code == 403
        assert browser.get("/", headers={"host": "other.example"}).status_code == 421
        assert browser.begin(f"/?key={key}", key="wrong").status_code == 403
        assert browser.begin(f"/?key={key}").status_code == 303
        assert key not in owner
        browser.close()


def test_the_server_stops_in_order_and_says_what_is_wrong(tmp_path):
    study = make_study(tmp_path)
    command = [sys.executable, "-m", "srgan_jax.study", "serve", str(study), "--port"]
    for sent in (signal.SIGINT, signal.SIGTERM):
        with serving(study) as (process, link, _):
            again = subprocess.run([*command, "0"], capture_output=True, text=True, timeout=60)
            assert again.returncode == 2 and "in use by another program" in again.stderr
            browser = Browser(link)
            browser.begin()
            browser.close()
            process.send_signal(sent)
            assert process.wait(timeout=30) == 0
        assert not (study / "answers.sqlite-wal").exists()  # closed: the folder can be copied
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed = subprocess.run([*command, port], capture_output=True, text=True, timeout=60)
    assert failed.returncode == 2 and f"cannot listen at 127.0.0.1, port {port}" in failed.stderr


def test_the_rate_is_limited():
    now = [0.0]
    buckets = Buckets(rate=2, burst=3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(5)] == [True, True, True, False, False]
    assert buckets.take("b")
    now[0] = 0.6
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    now[0] = 100
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    buckets.LARGEST = 2
    assert buckets.take("c") and len(buckets._left) == 1  # a flood of addresses takes no memory


def test_a_flood_of_requests_is_refused():
    app = Guard(PlainTextResponse("yes"), hosts=["study"], buckets=Buckets(rate=0, burst=2))

    async def ask():
        transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://study") as client:
            return [(await client.get("/")).status_code for _ in range(4)]

    assert asyncio.run(ask()) == [200, 200, 429, 429]


def test_damaged_texts_are_named(tmp_path):
    study = make_study(tmp_path)
    design = read_design(study)
    write_design(study, design)
    assert read_design(study) == design and json.loads((study / "design.json").read_text())["kind"] == "acr"
    (study / "texts/consent.ko.md").unlink()
    failed = subprocess.run(
        [sys.executable, "-m", "srgan_jax.study", "serve", str(study), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert failed.returncode == 2 and "consent.ko.md: expected what raters read" in failed.stderr
