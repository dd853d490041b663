"""Where a request with a cookie may come from."""

from itertools import product

import pytest

from stagedoor.errors import CrossSiteRefused, InvalidRequest
from stagedoor.guards.cross_site import check_cross_site, is_loopback, origins_of
from stagedoor.guards.headers import Headers

HOST = "api.example"
LIST = origins_of(["https://app.example", "http://dev.example:8080"])

SITES = [None, "same-origin", "none", "same-site", "cross-site", "Same-Origin", "", "same-origin, cross-site"]
ORIGINS = [None, "null", "https://app.example", "https://api.example", "https://evil.example", ""]
TYPES = [None, "application/json", "text/plain"]


def passes(site: str | None, origin: str | None, content_type: str | None, host: str | None = HOST) -> bool:
    sent = {b"sec-fetch-site": site, b"origin": origin, b"content-type": content_type, b"host": host}
    headers = Headers([(name, value.encode("latin-1")) for name, value in sent.items() if value is not None])
    try:
        check_cross_site(headers, LIST)
    except CrossSiteRefused:
        return False
    return True


def expected(site: str | None, origin: str | None, content_type: str | None) -> bool:
    """The rule, said in another way than the code says it."""
    if origin == "null":
        return False
    return (
        site in ("same-origin", "none")
        or origin in ("https://app.example", "https://api.example")
        or ((site, origin) == (None, None) and content_type == "application/json")
    )


@pytest.mark.parametrize(("site", "origin", "content_type"), list(product(SITES, ORIGINS, TYPES)))
def test_matrix(site: str | None, origin: str | None, content_type: str | None):
    """Same origin or no page at all, or an origin on the list; with neither header only JSON; a null origin never."""
    assert passes(site, origin, content_type) is expected(site, origin, content_type)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", " application/json ;x=y"],
)
def test_json_passes_without_headers(content_type: str):
    """What says neither where it comes from nor whose page it is passes as JSON."""
    assert passes(None, None, content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "text/plain; application/json",
        "application/json, text/plain",
        "text/plain, application/json",
        "application/jsonp",
        "application/json+x",
        "application/ json",
    ],
)
def test_what_a_form_can_send_does_not(content_type: str | None):
    """What another site's form can send does not pass, nor what only looks like JSON."""
    assert not passes(None, None, content_type)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://api.example", "api.example"),
        ("https://api.example", "API.Example"),
        ("HTTPS://API.example", "api.example"),
        ("https://api.example:8443", "api.example:8443"),
        ("http://localhost", "localhost"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://app.example", "api.example"),
        ("HTTPS://APP.EXAMPLE", "api.example"),
        ("http://dev.example:8080", "api.example"),
    ],
)
def test_own_pages_and_listed_pages_pass(origin: str, host: str):
    """A page of the very host that is called, over https or on this machine, and a page on the list."""
    assert passes("cross-site", origin, None, host)
    assert passes(None, origin, None, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://api.example", "api.example"),
        ("http://192.168.1.2:8000", "192.168.1.2:8000"),
        ("http://localhost.evil.example", "localhost.evil.example"),
        ("http://localhost:80@evil.example", "localhost:80@evil.example"),
        ("http://localhost:evil", "localhost:evil"),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ("https://api.example", None),
        ("https://", None),
        ("https://", ""),
        ("https://api.example", "api.example.evil.example"),
        ("https://api.example.evil.example", "api.example"),
        ("https://evil-api.example", "api.example"),
        ("https://x.api.example", "api.example"),
        ("https://example", "api.example"),
        ("https://api.example:8443", "api.example"),
        ("https://api.example", "api.example:8443"),
        ("https://api.example/", "api.example"),
        ("https://evil@api.example", "api.example"),
        ("https://api.example#", "api.example"),
        ("https://api.example\\.evil.example", "api.example"),
        ("api.example", "api.example"),
        ("//api.example", "api.example"),
        ("file://api.example", "api.example"),
        ("ftp://api.example", "api.example"),
        ("chrome-extension://api.example", "api.example"),
        ("http://app.example", "api.example"),
        ("https://app.example:443", "api.example"),
        ("https://app.example.evil.example", "api.example"),
        ("https://app.example, https://evil.example", "api.example"),
        ("https://app.example https://evil.example", "api.example"),
        (" https://app.example", "api.example"),
        ("https://xapp.example", "api.example"),
        ("https://dev.example:8080", "api.example"),
        ("http://dev.example", "api.example"),
        ("https://[", "api.example"),
        ("http://[::1", "[::1"),
        ("https://\xbd\xff", "api.example"),
        ("x" * 10_000, "api.example"),
        ("NULL", "api.example"),
    ],
)
def test_tricks_do_not(origin: str, host: str | None):
    """Another scheme, port, prefix or suffix is another origin, and what is no origin is refused, not stumbled over."""
    assert not passes("cross-site", origin, "application/json", host)
    assert not passes(None, origin, "application/json", host)


@pytest.mark.parametrize("name", [b"origin", b"sec-fetch-site", b"content-type"])
def test_a_header_sent_twice_is_refused(name: bytes):
    """Two headers of one name are refused: two readers could take two of them."""
    with pytest.raises(InvalidRequest):
        check_cross_site(Headers([(name, b"same-origin"), (name, b"same-origin")]), LIST)


def test_the_list():
    """Origins are kept as browsers write them: without path or default port, in lower case."""
    assert origins_of(["https://App.Example/path?x", "HTTP://b.example:80", "https://c.example:443", "https://d.example:80"]) == {
        "https://app.example",
        "http://b.example",
        "https://c.example",
        "https://d.example:80",
    }


@pytest.mark.parametrize("url", ["app.example", "*", "null", "", "https://", "file:///x", "javascript://app.example", "https:app.example"])
def test_what_is_no_origin(url: str):
    """What is no origin is a mistake at construction."""
    with pytest.raises(ValueError):
        origins_of([url])


def test_one_text_is_no_list():
    """A list of texts is asked for: a single text would be read letter by letter."""
    with pytest.raises(TypeError):
        origins_of("https://app.example")


@pytest.mark.parametrize(
    ("url", "is_"),
    [
        ("http://localhost", True),
        ("http://LOCALHOST:8000/x", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
    ],
)
def test_loopback(url: str, is_: bool):
    """Only this machine's own names are loopback."""
    assert is_loopback(url) is is_
