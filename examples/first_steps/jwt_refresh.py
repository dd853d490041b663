"""The tutorial's own way: a refresh token that is a plain JWT. It runs, and this is what it cannot do:

- it cannot be taken back: logged out or stolen, it works until its seven days are over;
- it cannot tell its owner from a thief: both may use it, again and again, and nobody sees it;
- it cannot end: each refresh makes another seven days, for as long as somebody asks.
"""

from stagedoor import KeySet
from stagedoor.errors import TokenError

keys = KeySet.generate()


def login(sub: str, username: str) -> dict[str, str]:
    """Two JWTs, told apart by their kind only."""
    claims = {"sub": sub, "username": username}
    return {
        "accessToken": keys.sign(claims, typ="tutorial-access+jwt", expires="1h"),
        "refreshToken": keys.sign(claims, typ="rt+jwt", expires="7d"),
    }


def refresh(refresh_token: str) -> dict[str, str]:
    """Two more, for whoever holds a refresh token. TokenError where it is expired, forged or of another kind."""
    claims = keys.verify(refresh_token, typ="rt+jwt")
    return login(claims["sub"], claims["username"])


if __name__ == "__main__":
    tokens = login("user-42", "ada")
    print("refreshed:", refresh(tokens["refreshToken"])["accessToken"][:40], "…")
    try:
        refresh(tokens["accessToken"])
    except TokenError as error:
        print("an access token is no refresh token:", error)
    print("and the first refresh token still works:", bool(refresh(tokens["refreshToken"])))
