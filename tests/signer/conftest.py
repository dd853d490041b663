"""One SoftHSM for the tests of a file, with keys that are made in it."""

from collections.abc import Iterator

import pytest

from servers.softhsm import SoftHSM

from .boxes import Signing


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signing]:
    with SoftHSM(tmp_path_factory.mktemp("softhsm")) as hsm:
        yield Signing(hsm)
