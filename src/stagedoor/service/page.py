"""Page: what a person sees at the root of the service, made once at the start.

Never knows a request, an account or a token: the page's script asks for those.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from stagedoor.guards.response import Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(*, sample_api: bool) -> Response:
    """The page, with the buttons for the sample API or without; its policy lets nothing run but our own files."""
    templates = Environment(loader=PackageLoader("stagedoor.service", "pages/templates"), autoescape=True, undefined=StrictUndefined)
    body = templates.get_template("index.html").render(sample_api=sample_api).encode("utf-8")
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", _POLICY),
        ("cache-control", "no-cache"),
    )
    return Response(200, headers, body)
