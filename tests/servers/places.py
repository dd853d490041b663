"""Knows which user a server runs as, and a folder where that user may write: PostgreSQL and PgBouncer refuse to run as root.

Never knows which server it is.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import Any

from servers import watchdog

SERVANT = "nobody"
AS_ROOT = os.geteuid() == 0


def identity() -> dict[str, Any]:
    """What subprocess needs so that a program does not run as root."""
    if not AS_ROOT:
        return {}
    user = pwd.getpwnam(SERVANT)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def open_to_all(path: Path) -> bool:
    """Whether the servers' user may go to this path."""
    path = path.resolve()
    return not AS_ROOT or all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def own(path: Path) -> None:
    if AS_ROOT:
        user = pwd.getpwnam(SERVANT)
        os.chown(path, user.pw_uid, user.pw_gid)


def home(folder: Path) -> Path:
    """`folder/data`, empty and the server's own at first; a link to a place elsewhere where the server's user may not go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    if data.is_dir():
        return data.resolve()
    data.unlink(missing_ok=True)  # a link whose place is gone with the process that made it
    if open_to_all(folder):
        data.mkdir(mode=0o700)
    else:  # such as pytest's folders, which pytest itself closes again when one opens them
        data.symlink_to(new(f"{folder.name}-"), target_is_directory=True)
    own(data)
    return data.resolve()


def clear(folder: Path) -> Path:
    """The same as `home`, but empty again."""
    data = home(folder)
    for each in data.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    return data


def new(prefix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base(os.getpid())))


@functools.cache
def base(process: int) -> Path:
    """One folder for each process that starts servers; it is deleted when that process is gone."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    above = next(each for each in candidates if each.is_dir() and open_to_all(each) and os.access(each, os.W_OK))
    path = Path(tempfile.mkdtemp(prefix=f"stagedoor-servers-{process}-", dir=above))
    path.chmod(0o711)
    watchdog.delete_later(path)
    return path
