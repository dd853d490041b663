"""Rolling: the pepper file of each worker, and a change of pepper that comes to one worker after the other.

Never knows a token.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from stagedoor import Peppers
from stagedoor.encoding import decode


def pepper_of(text: str) -> int:
    """The id of the pepper that a refresh token was made under."""
    return int.from_bytes(decode(text.removeprefix("sdr_"))[1:3])


class Rolling:
    """Files for workers whose clocks are off by `offsets`, and that change `stagger` seconds after one another.

    The first worker's is changed by `Peppers.rotate`; the others have a copy of it, with its moments as their own clocks have them.
    """

    def __init__(self, folder: Path, offsets: tuple[float, ...], stagger: float) -> None:
        folder.mkdir(mode=0o700)
        self.files = [folder / f"peppers-{number}.json" for number in range(len(offsets))]
        self._later = [offset - offsets[0] + number * stagger for number, offset in enumerate(offsets)]
        self._peppers = Peppers.open(self.files[0], clock=lambda: time.time() + offsets[0])
        self._copy()

    def change(self, *, announce: int, keep: int) -> int:
        """A fresh pepper: announced to all now, current for the first worker after `announce` seconds; its id."""
        made = self._peppers.rotate(announce=announce, keep=keep)
        self._copy()
        return made

    def _copy(self) -> None:
        for file, later in zip(self.files[1:], self._later[1:], strict=True):
            written: dict[str, Any] = json.loads(self.files[0].read_text())
            for entry in written["entries"]:
                entry["starts"] += later
                if entry["ends"] is not None:
                    entry["ends"] += later
            part = file.with_suffix(".part")
            part.write_text(json.dumps(written))
            part.chmod(0o600)
            part.replace(file)  # a worker reads the old file or the new one
