"""python -m fuzz.target NAME SECONDS FOLDER: one target under atheris for so long; what it finds is left in the folder.

Never knows the log. What is wrong is written down, and the search goes on; libFuzzer itself ends it for a hang or for too much memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stagedoor"]):
    from fuzz.oracle import call, timed
    from fuzz.targets import LARGEST, TARGETS, long_inputs

MEGABYTES = 1024
_HANG = 10
_WORDS = (
    '"alg"',
    '"kid"',
    '"typ"',
    '"crit"',
    '"exp"',
    '"aud"',
    '"keys"',
    '"kty"',
    '"use"',
    "null",
    "true",
    "\\\\ud800",
    "1e9",
    "[[",
    "{}",
    "=",
    "Bearer ",
)


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, seconds, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    target = TARGETS[name]
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate([*target.seeds(), *long_inputs(name)]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join('"' + word.replace('"', '\\"') + '"\n' for word in _WORDS), "utf-8")
    found = folder / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    slowest = target.bound

    def run(data: bytes) -> None:
        nonlocal slowest
        outcome = call(target, data)
        if outcome is None:
            return
        kind = outcome.wrong.split(":")[0]
        if outcome.wrong and kind not in seen:
            seen.add(kind)
            (found / f"wrong-{len(seen)}").write_bytes(data)
        # Under instruments all is slower: what seems slow is kept, and measured again without them.
        if outcome.seconds > slowest and (seconds := timed(target, data)) > slowest:
            slowest = seconds * 1.2
            (found / f"slow-{int(seconds * 1e6)}").write_bytes(data)

    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST + 8}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-timeout={_HANG}",
        f"-artifact_prefix={found}/",
        f"-dict={words}",
        "-print_final_stats=1",
        "-len_control=0",
    ]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
