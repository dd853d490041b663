"""Discovery: where an issuer says that its keys are (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).

Never knows a key: it reads `issuer` and `jwks_uri`, and nothing else of what an issuer says of itself.
"""

from __future__ import annotations

from stagedoor.remote_document import DocumentRefused, check_url, fetch, shown

_TYPES = ("application/json",)
_REMEMBERED = 3600.0


class Discovery:
    """The address of one issuer's keys: asked for when it is first wanted, and remembered until it is forgotten.

    TypeError and ValueError for an issuer that is no https URL (http on this machine itself), or has a query or a fragment.
    """

    def __init__(self, issuer: str) -> None:
        parsed = check_url(issuer, "issuer")
        if "?" in issuer:
            raise ValueError("issuer must have no query (RFC 8414 section 2)")
        self.name = issuer
        self._is_plain = parsed.scheme == "http"
        root = issuer.removesuffix("/")
        path = parsed.path.removesuffix("/")
        # OpenID Connect appends to the issuer, RFC 8414 inserts before its path.
        self._documents = (
            f"{root}/.well-known/openid-configuration",
            f"{root.removesuffix(path) if path else root}/.well-known/oauth-authorization-server{path}",
        )
        self._url: str | None = None
        self._asked = 0.0

    async def url(self, moment: float) -> str:
        """Where the keys are, as it was said an hour ago at the most (monotonic seconds). DocumentRefused, or what the client raises."""
        if self._url is None or moment - self._asked >= _REMEMBERED:
            self._url = await self._discover()
            self._asked = moment
        return self._url

    def forget(self) -> None:
        """Ask again next time: what was there has failed."""
        self._url = None

    async def _discover(self) -> str:
        reasons = []
        for document in self._documents:
            try:
                answer = await fetch(document, _TYPES)
            except DocumentRefused as error:
                reasons.append(f"{shown(document)}: {error}")
                continue
            return self._jwks_uri(answer.members or {})
        raise DocumentRefused("; ".join(reasons))

    def _jwks_uri(self, members: object) -> str:
        said = members if isinstance(members, dict) else {}
        if said.get("issuer") != self.name:
            # RFC 8414 section 3.3: whoever answers for another issuer may be that other's attacker.
            raise DocumentRefused("its metadata names another issuer; `issuer` must be the same to the letter")
        url = said.get("jwks_uri")
        try:
            parsed = check_url(url, "jwks_uri")  # type: ignore[arg-type]  # whatever it is, it is looked at there
        except (TypeError, ValueError) as error:
            raise DocumentRefused(f"its metadata: {error}") from None
        if parsed.scheme == "http" and not self._is_plain:
            raise DocumentRefused("its metadata: jwks_uri leads to this very machine")  # what is out there has no business in here
        return str(url)
