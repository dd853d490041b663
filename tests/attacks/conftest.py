"""What each named test attacks: verifiers with each kind of key, and two services, all of which know one sinkhole's addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .in_process import InProcess
from .issuers import in_process, over_http
from .over_http import OverHTTP
from .sinkhole import Sinkhole
from .targets import Target

ALGORITHMS = ("ES256", "RS256", "Ed25519", "HS256")
SERVICES = ("ES256", "RS256")


@pytest.fixture(scope="session")
def sinkhole() -> Iterator[Sinkhole]:
    """The attacker's server. Nobody may ever have come to it: test_sinkhole shows that it would have noticed."""
    with Sinkhole() as open_:
        yield open_
        assert open_.connections == 0


@pytest.fixture(scope="session")
def verifiers(sinkhole: Sinkhole) -> dict[str, InProcess]:
    return {alg: in_process(alg, sinkhole) for alg in ALGORITHMS}


@pytest.fixture(scope="session")
def services(sinkhole: Sinkhole, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OverHTTP]]:
    with ExitStack() as running:
        folders = {alg: tmp_path_factory.mktemp("attacked") / "data" for alg in SERVICES}
        yield {alg: running.enter_context(over_http(folder, alg, sinkhole)) for alg, folder in folders.items()}


@pytest.fixture(params=[*(f"verifier {alg}" for alg in ALGORITHMS), *(f"service {alg}" for alg in SERVICES)])
def target(request: pytest.FixtureRequest) -> Target:
    """Each in turn."""
    kind, alg = request.param.split()
    found: Target = request.getfixturevalue(f"{kind}s")[alg]
    return found
