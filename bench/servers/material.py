"""What all servers of this folder share: who signs, for whom, the secret, the one user and what the route answers."""

import json
from pathlib import Path

_TOLD = json.loads(Path(__file__).with_suffix(".json").read_text())
SECRET: str = _TOLD["secret"]
ISSUER: str = _TOLD["issuer"]
AUDIENCE: str = _TOLD["audience"]
SUBJECT: str = _TOLD["subject"]
UUID: str = _TOLD["uuid"]
USERNAME: str = _TOLD["username"]


def items(owner: str) -> list[dict[str, str]]:
    return [{"item_id": "Foo", "owner": owner}]
