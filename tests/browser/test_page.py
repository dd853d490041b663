"""The page as a person uses it, in a real browser, on a real service with short lifetimes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service_process import ServiceProcess, start

pytestmark = pytest.mark.browser
ACCESS = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    running = start("demo", tmp_path_factory.mktemp("page") / "data", ACCESS=f"{ACCESS}s", RETRY_WINDOW="2s")
    yield running
    running.stop()


def log_in(page: Page, service: ServiceProcess) -> None:
    password = re.search(r"password:?\s+(\S+)", service.log, re.IGNORECASE)
    assert password
    page.goto(service.url)
    page.get_by_test_id("username").fill("ada")
    page.get_by_test_id("password").fill(password[1])
    page.get_by_test_id("login").click()
    expect(page.get_by_test_id("signed-in")).to_be_visible()


def status(page: Page) -> str:
    page.wait_for_function("document.querySelector('[data-testid=call-status]').textContent.trim() !== ''")
    return page.get_by_test_id("call-status").inner_text()


def test_a_person_logs_in_calls_waits_refreshes_and_logs_out(page: Page, browser: Browser, service: ServiceProcess) -> None:
    """Log in, call a guarded route, wait until the token has expired, refresh, end another session, log out."""
    elsewhere = browser.new_context()
    log_in(elsewhere.new_page(), service)
    log_in(page, service)
    expect(page.get_by_test_id("token-header")).to_contain_text("at+jwt")
    expect(page.get_by_test_id("token-payload")).to_contain_text('"username"')
    page.get_by_test_id("call-orders").click()
    expect(page.get_by_test_id("call-status")).to_contain_text("200")
    if os.environ.get("STAGEDOOR_PICTURE"):
        page.screenshot(path=os.environ["STAGEDOOR_PICTURE"], full_page=True)
    expect(page.get_by_test_id("countdown")).to_contain_text(re.compile("expired", re.IGNORECASE), timeout=(ACCESS + 60) * 1000)
    page.get_by_test_id("call-me").click()
    expect(page.get_by_test_id("call-status")).to_contain_text("401")
    expect(page.get_by_test_id("call-challenge")).to_contain_text("invalid_token")
    before = page.get_by_test_id("token-signature").inner_text()
    page.get_by_test_id("refresh").click()
    expect(page.get_by_test_id("token-signature")).not_to_have_text(before)
    page.get_by_test_id("call-me").click()
    expect(page.get_by_test_id("call-status")).to_contain_text("200")
    sessions = page.get_by_test_id("session")
    expect(sessions).to_have_count(2)
    expect(page.locator("[data-testid=session][data-current=true]")).to_have_count(1)
    page.locator("[data-testid=session]:not([data-current=true])").get_by_test_id("end-session").click()
    expect(sessions).to_have_count(1)
    page.get_by_test_id("logout").click()
    expect(page.get_by_test_id("login-form")).to_be_visible()
    expect(page.get_by_test_id("signed-in")).to_be_hidden()
    elsewhere.close()


def test_the_page_survives_a_reload_and_keeps_no_token(page: Page, service: ServiceProcess) -> None:
    """A reload brings the login back by the cookie; no token is in storage or readable in cookies."""
    log_in(page, service)
    page.reload()
    expect(page.get_by_test_id("signed-in")).to_be_visible()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "eyJ" not in kept
    assert "sdr_" not in kept
    page.get_by_test_id("logout").click()


def test_the_page_fits_a_phone(browser: Browser, service: ServiceProcess, tmp_path: Path) -> None:
    """At 360 pixels nothing needs scrolling sideways, logged out and logged in."""
    phone = browser.new_context(viewport={"width": 360, "height": 740})
    page = phone.new_page()
    page.goto(service.url)
    expect(page.get_by_test_id("login-form")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    log_in(page, service)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    phone.close()
