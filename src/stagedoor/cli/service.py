"""The commands that stand alone: serve, demo, migrate, settings.

Never knows an account or a session.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stagedoor.cli.house import settings_of, with_house
from stagedoor.cli.options import Data, Json, group
from stagedoor.service.app import create_app
from stagedoor.service.demo import first_user
from stagedoor.service.server import listen
from stagedoor.service.server import serve as run_server
from stagedoor.service.store_url import StoreURL
from stagedoor.service.terminal import print_rows, say

Host = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1; 0.0.0.0 is every IPv4 address.")
]
Port = Annotated[int | None, typer.Option(metavar="N", help="TCP port to listen on, 1 to 65535. Default: 8000.")]

app = group(
    "Token authentication as a service: accounts, login, sessions, keys and a page.\n\n"
    "Settings come from STAGEDOOR_* variables, or from the TOML file that STAGEDOOR_CONFIG names; `stagedoor settings` shows them. "
    "Exit codes: 0 done, 1 refused or failed, 2 called wrongly."
)


@app.command(epilog="Example: stagedoor serve --port 8000 --data /var/lib/stagedoor")
def serve(port: Port = None, host: Host = None, data: Data = None) -> None:
    """Run the service until Ctrl-C.

    Endpoints under /auth, keys at /.well-known/jwks.json, the page at /. The data folder, its tables, keys and peppers are made on first
    use. There is no default account: add one with `stagedoor users add`. It speaks plain HTTP: put a proxy with TLS in front of it, name
    that proxy in STAGEDOOR_TRUSTED_PROXIES and the public URL in STAGEDOOR_ISSUER.
    """
    settings = settings_of(data=data, host=host, port=port)
    with listen(settings) as listener:
        if not with_house(settings, lambda house: house.accounts.list(), create=True):
            say("hint", f"there is no account yet: add one with `stagedoor users add NAME --data {settings.data}`")
        print(f"Stagedoor serves {settings.issuer_url} from {settings.data}", flush=True)
        run_server(create_app(settings), listener, settings)


@app.command(epilog="Example: stagedoor demo --port 8000")
def demo(port: Port = None, host: Host = None, data: Data = None) -> None:
    """Run the service with a first user and a sample API.

    The sample is /api/orders, guarded, in the same origin. The user is ada, with the scope "orders:read orders:write" and a random
    password, which is printed; each start sets a new one. Access tokens live for 60s unless STAGEDOOR_ACCESS says otherwise, so that one
    can watch them expire. The data folder is ./demo-data unless one is named.
    """
    settings = settings_of({"data": "demo-data", "access": "60s"}, data=data, host=host, port=port)
    with listen(settings) as listener:
        password = with_house(settings, first_user, create=True)
        print(f"url:      {settings.issuer_url}\nusername: ada\npassword: {password}", flush=True)
        run_server(create_app(settings, sample=True), listener, settings)


@app.command(epilog="Example: stagedoor migrate --data /var/lib/stagedoor")
def migrate(data: Data = None) -> None:
    """Bring the tables to this version's form.

    Makes the data folder, the keys and the peppers where they are missing. Safe to run again, and from many processes at once. `serve` does
    it by itself.
    """
    settings = settings_of(data=data)
    with_house(settings, lambda house: None, create=True)
    print(f"the tables in {settings.database or settings.data} are up to date")


@app.command("settings")
def settings_(as_json: Json = False, data: Data = None) -> None:
    """Show every setting and where it came from.

    That is: default, file, environment or command line. STAGEDOOR_ and the name in capitals is its variable, such as STAGEDOOR_ACCESS=5m;
    the name alone is its key in the TOML file.
    """
    found = settings_of(data=data).rows()
    rows = [(name, str(value) if isinstance(value, Path | StoreURL) else value, source) for name, value, source in found]
    print_rows(("name", "value", "from"), rows, as_json=as_json)
