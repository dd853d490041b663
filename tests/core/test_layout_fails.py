"""Layouts: the comparison of the quick way with the careful one finds each fault that is planted in the quick one."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import pytest

from stagedoor import errors, layout
from stagedoor.access_token import Reader
from stagedoor.trusted_issuer import Expected

from . import test_layout
from .test_layout import EXPECTATIONS, ISS, RUNS, Mine

pytestmark = pytest.mark.once


def fields(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Layouts in which these claims are of another type."""
    patch.setattr(layout, "_CLAIMS", layout._CLAIMS | {name: (kind, layout._CLAIMS[name][1]) for name, kind in changes.items()})


class Equal:
    """What is the same as anything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class AnyText(str):
    """A text that is the same as any."""

    __eq__, __hash__ = Equal.__eq__, str.__hash__  # type: ignore[assignment]


class AnyAudience(dict[object, tuple[str, ...]]):
    """All are in it."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: object, default: Any = None) -> Any:
        return name if type(name) is tuple else (name,)


def expects(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Verifiers that, in a hurry, expect something else."""
    real = Expected.__post_init__
    order = ("issuer", "audience", "kinds", "subject")

    def made(self: Expected) -> None:
        real(self)
        object.__setattr__(self, "usual", tuple(changes.get(name, said) for name, said in zip(order, self.usual, strict=True)))

    patch.setattr(Expected, "__post_init__", made)


Fault = Callable[[pytest.MonkeyPatch], None]
TEXT, MOMENT = layout._Text, layout._Moment
FAULTS: dict[str, Fault] = {
    "nothing is written again": lambda patch: patch.setattr(layout, "_write", lambda said: Equal()),
    "each token is complete": lambda patch: patch.setattr(layout, "_COMPLETE", frozenset()),
    "aud may be no list of any": lambda patch: fields(patch, aud=TEXT | tuple[TEXT, ...]),
    "aud may name an empty text": lambda patch: fields(patch, aud=TEXT | tuple[str, ...]),
    "iss may be empty": lambda patch: fields(patch, iss=str),
    "sid may be empty": lambda patch: fields(patch, sid=str),
    "jti may be null": lambda patch: fields(patch, jti=TEXT | None),
    "client_id may be a number": lambda patch: fields(patch, client_id=TEXT | int),
    "sub may be 2**53": lambda patch: fields(patch, sub=TEXT | MOMENT),
    "sub may be negative": lambda patch: fields(patch, sub=TEXT | Annotated[int, msgspec.Meta(lt=2**53)]),
    "exp may be any number": lambda patch: fields(patch, exp=int),
    "iat may be negative": lambda patch: fields(patch, iat=Annotated[int, msgspec.Meta(le=2**53)]),
    "nbf may be half a second": lambda patch: fields(patch, nbf=MOMENT | float),
    "auth_time may be anything": lambda patch: fields(patch, auth_time=layout.Member),
    "a longer leeway": lambda patch: patch.setattr("stagedoor.access_token.FUTURE_LEEWAY", 11),
    "scope may be null": lambda patch: fields(patch, scope=str | None),
    "any issuer": lambda patch: expects(patch, issuer=AnyText(ISS)),
    "any audience": lambda patch: expects(patch, audience=AnyAudience()),
    "any kind": lambda patch: expects(patch, kinds=AnyAudience()),
    "its own claims untyped": lambda patch: patch.setattr(Reader, "_typed", lambda self, signed: Mine("t")),
}  # fmt: skip


@pytest.fixture
def anew() -> Iterator[None]:
    """No layout of a sound one is used by a faulty one, nor the other way round."""
    layout._decoder.cache_clear()
    yield
    layout._decoder.cache_clear()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, anew: None, monkeypatch: pytest.MonkeyPatch):
    """With a fault in the quick way, the comparison above fails for some expectation and some spelling."""
    FAULTS[fault](monkeypatch)
    kinds = (fails(test_layout.test_a_layout_makes_no_difference_to_the_kind, each) for each in EXPECTATIONS)
    assert any(kinds) or any(fails(test_layout.test_a_layout_makes_no_difference, *run) for run in RUNS)


def fails(test: Callable[..., None], *run: str) -> bool:
    try:
        test(*run)
    except (AssertionError, AttributeError, TypeError, errors.AuthError):
        return True
    return False
