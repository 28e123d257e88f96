"""A short crowd on the page, and more requests at once than it takes; the long one is tests/measure/crowd.py."""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from crowd import ENDPOINTS, burst, by_http, crowd, resident
from page import ROOT, Page
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("page")) as page:
        yield page
        assert "Traceback" not in page.log()


def test_every_answer_to_a_crowd_is_right(page):
    happened = crowd(page, clients=12, seconds=8)
    happened.check()
    assert not happened.faults and not happened.refused
    assert happened.seconds.keys() == set(ENDPOINTS) and len(happened.answers) >= 12


def test_what_is_too_much_at_once_is_refused_with_a_sentence(page):
    happened = burst(page, 100)
    happened.check()
    assert not happened.faults
    assert len(happened.answers) >= 64 and len(happened.answers) + happened.refused.total() == 100
    # to programs by plain HTTP and by gradio_client
    assert all(sentence.startswith("Queue is full") for sentence in happened.refused)
    assert happened.refused.total() > 10


def test_many_short_visits_leave_no_memory_behind(page):
    ask = by_http(page.url)  # every request is a session of its own
    sizes = []
    for number in (60, 200):
        for _ in range(number):
            ask("/seed", [7, 1.0, "none", ""])
        sizes.append(resident(page.process.pid))
    assert sizes[1] - sizes[0] < 20e6, sizes


def test_the_page_says_that_it_is_busy_and_then_draws_again(page, browser):
    enough, full = threading.Event(), threading.Event()

    def press() -> None:
        call, i = f"{page.url}/gradio_api/call/neighbours", 0
        while not enough.is_set():
            i += 1
            data = json.dumps({"data": [str(i), 1.0, "", "", ""]}).encode()
            try:
                urllib.request.urlopen(urllib.request.Request(call, data, {"Content-Type": "application/json"})).close()
            except urllib.error.HTTPError as refusal:
                assert refusal.code == 503
                full.set()

    tab = browser.new_page()
    tab.goto(page.url)
    tab.wait_for_function("typeof restored !== 'undefined' && restored")
    presses = [threading.Thread(target=press) for _ in range(4)]
    for thread in presses:
        thread.start()
    try:
        assert full.wait(60)
        tab.get_by_role("button", name="Draw a face").first.click()
        expect(tab.get_by_text("This application is currently busy. Please try again.")).to_be_visible()
    finally:
        enough.set()
        for thread in presses:
            thread.join()
    before = tab.locator("#picture img").get_attribute("src")
    for i in range(120):  # half seconds; a person tries again from time to time
        if i % 10 == 0:
            tab.get_by_role("button", name="Draw a face").first.click()
        tab.wait_for_timeout(500)
        if tab.locator("#picture img").get_attribute("src") != before:
            break
    else:
        raise AssertionError("the page does not draw any more")
    tab.close()


def test_the_benchmark_measures_each_answer_beside_drawing_alone_and_an_empty_event():
    command = [sys.executable, ROOT / "tests" / "measure" / "benchmark_page.py", "--rounds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [name for name, *_ in rows] == ["Seed", "Batch of 64", "Interpolation of 96 frames"]
    for _, bare, empty, page, limit, verdict, files in rows:
        medians = [int(text.split(" ")[0]) for text in (bare, empty, page, limit, files)]
        assert min(medians) > 0 and verdict in ("met", "MISSED")
        assert medians[2] == medians[3] or (verdict == "met") == (medians[2] < medians[3])
