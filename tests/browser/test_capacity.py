"""docs/capacity.html in a real browser, opened as a file: what is typed, and what is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
SOURCE = Path(__file__).parents[2] / "docs" / "capacity.html"
CONSTANTS = {
    "servers": {"FastAPI on Uvicorn": {"seen": 10_000, "new": 5_000}, "Starlette on Uvicorn": {"seen": 20_000, "new": 10_000}},
    "guards": {"FastAPI": {"seen": 1.5, "new": 6.5}, "Starlette": {"seen": None, "new": None}},
    "stores": {"SQLite": {"refreshes": 1_000, "session": 300}, "PostgreSQL": {"refreshes": 800, "session": None}},
    "logins": 5,
    "token": 1_200,
    "tokensAtMost": 20_000_000,
    "revocation": 150,
    "measured": [
        {
            "script": "refresh",
            "when": "a day",
            "commit": "abc1234",
            "machine": "a machine",
            "rounds": 7,
            "command": "python -m bench refresh",
        }
    ],
}
TYPED = {
    "users": "360000",
    "devices": "2",
    "active": "25",
    "requests": "10",
    "begun": "4",
    "life": "15",
    "fresh": "20",
    "cores": "4",
    "reserve": "50",
}


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """The page with constants that are easy to reckon with."""
    return made(tmp_path, CONSTANTS)


def made(folder: Path, constants: dict[str, Any]) -> str:
    before = '<script type="application/json" id="measured">'
    head, rest = SOURCE.read_text("utf-8").split(before)
    path = folder / "capacity.html"
    path.write_text(f"{head}{before}{json.dumps(constants)}</script>{rest.split('</script>', 1)[1]}", "utf-8")
    return path.as_uri()


def fill(page: Page, **typed: str) -> None:
    for name, value in typed.items():
        page.locator(f"[name={name}]").fill(value)


def read(page: Page) -> dict[str, str]:
    return {each.get_attribute("id") or "": each.inner_text() for each in page.locator("#results dd[id]").all()}


def test_the_arithmetic(page: Page, plan: str) -> None:
    """What is typed gives rates, cores, machines, bytes of the store and memory, by what one core was measured to do."""
    page.goto(plan)
    fill(page, **TYPED)
    page.locator("[name=store]").select_option("SQLite")
    page.locator("[name=server]").select_option("FastAPI on Uvicorn")
    assert read(page) == {
        "requests": "15,000 a second",  # 90,000 users, 10 a minute
        "refreshes": "200 a second",  # 180,000 sessions, each in 900 s
        "logins": "2 a second",  # 7,200 in the hour
        "guarded": "1.8",  # 12,000 / 10,000 + 3,000 / 5,000
        "alone": "0.0375",  # 12,000 of 1.5 µs, 3,000 of 6.5 µs
        "refreshing": "0.2",
        "passwords": "0.4",
        "cores": "5",  # 2.4, and as much again
        "machines": "2",
        "held": "216 MB",  # 720,000 of 300 bytes
        "remembered": "20 MB",  # 180,000 of 1,200 bytes would be 216 MB
        "allRemembered": "100 MB",
        "revoked": "270 kB",  # 2 a second for 900 s, 150 bytes each
        "allRevoked": "1.35 MB",
    }
    expect(page.locator("#warning")).to_contain_text("SQLite is one file on one machine")
    fill(page, life="60", cores="8", fresh="0")
    found = read(page)
    assert (found["refreshes"], found["guarded"], found["machines"], found["revoked"]) == ("50 a second", "1.5", "1", "1.08 MB")
    expect(page.locator("#warning")).to_be_empty()


def test_what_was_not_measured_is_not_computed(page: Page, plan: str) -> None:
    """Where a constant is missing, what depends on it is said to be not measured, and the rest is computed."""
    page.goto(plan)
    fill(page, **TYPED)
    page.locator("[name=server]").select_option("Starlette on Uvicorn")
    found = read(page)
    assert (found["held"], found["alone"]) == ("not measured", "not measured")
    assert (found["guarded"], found["refreshing"], found["cores"]) == ("0.9", "0.25", "4")
    page.goto(made(Path(plan.removeprefix("file://")).parent, {}))
    found = read(page)
    assert (found["requests"], found["cores"], found["remembered"]) == ("2,000 a second", "not measured", "not measured")
    expect(page.locator("#measured-on")).to_have_text("Nothing was measured.")


def test_what_is_no_number_is_said(page: Page, plan: str) -> None:
    """An empty or impossible input shows no result, and names the input; when it is mended, the results are back."""
    page.goto(plan)
    page.locator("[name=users]").fill("")
    expect(page.locator("#warning")).to_contain_text("Users:")
    assert read(page) == {}
    page.locator("[name=users]").fill("10")
    page.locator("[name=reserve]").fill("100")
    expect(page.locator("#warning")).to_contain_text("Reserve")
    page.locator("[name=reserve]").fill("0")
    assert read(page)["cores"] == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone_and_asks_nobody(browser: Browser, scheme: Any) -> None:
    """390 pixels wide, in both colour schemes, nothing is cut off sideways, and no other file is loaded."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(SOURCE.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert len(read(page)) == 14
    assert [url for url in asked if not url.startswith("data:")] == [SOURCE.as_uri()]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).every((part) => part < 64)")
    assert dark is (scheme == "dark")
    context.close()
