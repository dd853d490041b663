"""Tokens that were seen: each fault that is planted in what remembers them is found."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from stagedoor import access_token, seen_tokens
from stagedoor.access_token import Reader
from stagedoor.seen_tokens import SeenTokens, _is_same, _Memory

from . import test_seen_keys, test_seen_tokens
from .seen import Checks

Test = Callable[..., Any]
FAULTS: dict[str, tuple[Callable[..., Any], str, str, list[Test]]] = {
    "exp is not looked at": (SeenTokens.find, "now >= said.expires_at or ", "", [test_seen_tokens.test_it_ends_with_the_token]),
    "exp has a leeway": (
        SeenTokens.find, "now >= said.expires_at", "now > said.expires_at", [test_seen_tokens.test_it_ends_with_the_token]
    ),
    "a clock is never set back": (
        SeenTokens.find, " or now < memory.since", "", [test_seen_tokens.test_a_clock_that_is_set_back]
    ),
    "nbf is not looked at": (
        Reader.verify, "nbf <= access_token.issued_at", "True",
        [test_seen_tokens.test_a_token_that_may_not_be_used_yet, test_seen_tokens.test_a_token_without_iat],
    ),
    "the latest iat is not kept": (
        SeenTokens.add, "memory.since = float(said.issued_at - FUTURE_LEEWAY)", "pass",
        [test_seen_tokens.test_a_clock_that_is_set_back, test_seen_tokens.test_a_token_that_may_not_be_used_yet],
    ),
    "the latest iat goes back": (
        SeenTokens.add, "memory.since < said.issued_at - FUTURE_LEEWAY", "True",
        [test_seen_tokens.test_a_clock_that_is_set_back_again_and_again],
    ),
    "what was revoked is not looked at": (
        Reader.verify, "self.revocations.check(seen, now)", "pass",
        [test_seen_tokens.test_a_session_that_is_revoked_after_it_was_seen, test_seen_tokens.test_what_is_known_of_revocations_grows_old],
    ),
    "claims are shared": (
        Reader.verify, "if self._read_claims is None", "if True", [test_seen_tokens.test_what_one_request_alters_reaches_no_other]
    ),
    "nothing is forgotten": (_Memory.keep, "self.room < 0", "False", [test_seen_tokens.test_memory_is_bounded]),
    "what is used is forgotten": (SeenTokens.find, "memory.keep(token, said)", "pass", [test_seen_tokens.test_memory_is_bounded]),
    "no key is forgotten": (SeenTokens.add, "len(memory.known) > MOST_KEYS", "False", [test_seen_tokens.test_keys_are_bounded]),
    "nothing is remembered": (
        SeenTokens.add, "memory.keep(token, said)", "pass", [test_seen_tokens.test_a_second_look_costs_no_signature_check]
    ),
    "a token is its first part": (
        SeenTokens.find, "(token)", "(next((each for each in memory.young if each[:150] == token[:150]), token))",
        [test_seen_tokens.test_a_token_is_its_whole_text],
    ),
    "the state of the keys is not looked at": (
        SeenTokens.find, "memory.known is self._ring.known and ", "",
        [
            test_seen_keys.test_a_key_that_is_retired, test_seen_keys.test_another_process_retires_a_key,
            test_seen_keys.test_another_worker_retires_a_key_in_the_vault, test_seen_tokens.test_threads_and_a_key_that_comes_and_goes,
        ],
    ),
    "the state is taken afterwards": (
        Reader.verify, "access_token, state, ", "access_token, self._seen.state(), ",
        [test_seen_keys.test_a_key_that_is_retired_while_a_token_is_verified],
    ),
    "a ring's tokens are not remembered after a clock that was ahead": (
        SeenTokens.add, "< memory.until or now < memory.since", "< memory.until", [test_seen_tokens.test_a_clock_that_was_ahead]
    ),
    "nor are those of other keys": (
        SeenTokens.add, "MOST_KEYS or now < memory.since", "MOST_KEYS", [test_seen_tokens.test_a_clock_that_was_ahead]
    ),
    "a key has no end": (
        SeenTokens.find, " and now < memory.until", "", [test_seen_keys.test_a_key_that_ends]
    ),
    "what is remembered has no beginning": (
        SeenTokens.add, "memory.begun <= now", "now", [test_seen_keys.test_a_key_that_has_ended_and_a_clock_that_is_set_back]
    ),
    "after an end nothing is remembered": (
        SeenTokens.add, " or not memory.begun <= now < memory.until", "", [test_seen_keys.test_a_key_that_ends]
    ),
    "of an old state nothing is forgotten": (
        SeenTokens.add, "memory.known is not state or ", "", [test_seen_keys.test_a_key_that_is_retired]
    ),
    "any key of the name will do": (
        SeenTokens.find, "_is_same(self._keys.find(said.key_id, now), memory.known[said.key_id])", "self._keys.find(said.key_id, now)",
        [
            test_seen_keys.test_another_key_of_the_same_name, test_seen_keys.test_keys_that_are_fetched_anew,
            test_seen_keys.test_keys_of_several_issuers, test_seen_keys.test_a_key_that_is_changed_while_a_token_is_verified,
        ],
    ),
    "the last key of the name counts for all": (
        SeenTokens.add, "_is_same(memory.known.setdefault(said.key_id, key), key)", "memory.known.update({said.key_id: key}) is None",
        [test_seen_keys.test_another_key_of_the_same_name],
    ),
    "the first key of the name counts for ever": (
        SeenTokens.add, "_is_same(memory.known.setdefault(said.key_id, key), key)", "memory.known.setdefault(said.key_id, key) is not None",
        [test_seen_keys.test_another_key_of_the_same_name],
    ),
    "keys are not asked": (
        SeenTokens.find, "_is_same(self._keys.find(said.key_id, now), memory.known[said.key_id])", "True",
        [test_seen_keys.test_keys_that_cannot_be_had, test_seen_keys.test_finders_of_the_users_own],
    ),
    "keys are the same that say so": (
        _is_same, "found is known", "found == known", [test_seen_keys.test_keys_that_call_themselves_equal]
    ),
    "each KeySet finds as ours": (
        SeenTokens.__init__, " and type(keys).find is Ring.find", "", [test_seen_keys.test_finders_of_the_users_own]
    ),
}  # fmt: skip
"""In which function, what stands there, what is to stand there instead, and which tests find it, each of them."""


def plant(function: Callable[..., Any], old: str, new: str, patch: pytest.MonkeyPatch) -> None:
    """Have this stand there instead."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) >= 1, "the fault cannot be planted"
    owner, _, name = function.__qualname__.partition(".")
    module = access_token if function is Reader.verify else seen_tokens
    made: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + source.replace(old, new), vars(module), made)
    patch.setattr(getattr(module, owner) if name else module, name or owner, made[name or owner])


RUNS = [(fault, test) for fault, (*_, tests) in FAULTS.items() for test in tests]


@pytest.mark.parametrize(("fault", "test"), RUNS, ids=lambda each: getattr(each, "__name__", each))
async def test_a_planted_fault_is_found(fault: str, test: Test, monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    """With the fault in its place at least one run of the test fails; without it every one passes, as they do beside this."""
    plant(*FAULTS[fault][:3], monkeypatch)
    assert any([await fails(test, arguments, tmp_path) for arguments in runs_of(test)])


def runs_of(test: Test) -> list[dict[str, Any]]:
    """The arguments of each run of a test: one, unless it is parametrized."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    return [{mark.args[0]: value} for mark in marks for value in mark.args[1]] or [{}]


async def fails(test: Test, arguments: dict[str, Any], tmp_path: Any) -> bool:
    wanted = inspect.signature(test).parameters
    with pytest.MonkeyPatch.context() as patch:
        given = {"checks": Checks(patch), "tmp_path": tmp_path, "impatient": None} | arguments
        try:
            found = test(**{name: given[name] for name in wanted})
            if inspect.isawaitable(found):
                await found
        except (Exception, pytest.fail.Exception):
            return True
    return False
