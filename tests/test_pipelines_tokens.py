"""Tokens by role: made once, kept as hashes, good until their day."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.tokens import ROLES, NewToken, Role, TokenList, Tokens, add_token, read_tokens, remove_token

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def made(path: Path, role: Role = "client", *, days: int | None = None) -> NewToken:
    return add_token(path, role, name="shop", days=days, now=NOW)


def bearer(secret: str) -> bytes:
    return f"Bearer {secret}".encode()


def test_a_token_is_found_by_its_secret_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tokens.json"
    first, second = made(path), made(path, "viewer")
    tokens = Tokens(path)
    assert tokens.find(bearer(first.secret), NOW) == first.token
    assert tokens.find(bearer(second.secret), NOW) == second.token
    for other in (b"", b"Bearer", b"Bearer x", first.secret.encode(), b"Basic " + first.secret.encode()):
        assert tokens.find(other, NOW) is None


@given(st.binary(max_size=80))
def test_no_other_text_is_a_token(given: bytes) -> None:
    tokens = Tokens(Path("/nowhere/tokens.json"), ["a-secret-of-an-operator"])
    assert tokens.find(b"Bearer " + given, NOW) is None


def test_the_file_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = made(path)
    assert token.secret not in path.read_text()
    assert len(token.secret) >= 43
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_ends_with_its_days(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = made(path, days=3)
    tokens = Tokens(path)
    assert tokens.find(bearer(token.secret), NOW + timedelta(days=2.9)) is not None
    assert tokens.find(bearer(token.secret), NOW + timedelta(days=3)) is None


def test_a_role_opens_its_own_and_an_operator_all(tmp_path: Path) -> None:
    for role in ROLES:
        token = made(tmp_path / "tokens.json", role).token
        opened = {one for one in ROLES if token.allows(one)}
        assert opened == (set(ROLES) if role == "operator" else {role})
        assert token.allows(None)


def test_the_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path)
    assert not tokens
    token = made(path)
    tokens.refresh()
    assert tokens.find(bearer(token.secret), NOW) is not None
    assert remove_token(path, token.token.id).tokens == ()
    tokens.refresh()
    assert not tokens


def test_an_unknown_token_cannot_be_taken_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no token 'x'; there are none"):
        remove_token(tmp_path / "tokens.json", "x")


def test_a_short_token_of_the_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a token of 6 characters can be guessed; expected at least 16"):
        Tokens(tmp_path / "tokens.json", ["secret"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tokens": [{"id": 3}]}', "\udcff"])
def test_a_damaged_file_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(UserError, match=r"tokens.json: cannot be read .* make new tokens"):
        read_tokens(path)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made(path)
    path.chmod(0o622)
    with pytest.raises(UserError, match=r"others may write it, .* chmod 600"):
        Tokens(path)


def test_what_is_told_of_tokens_does_not_tell_them(tmp_path: Path) -> None:
    token = made(tmp_path / "tokens.json", days=3)
    told = TokenList(read_tokens(tmp_path / "tokens.json"))
    assert token.secret not in json.dumps(told.lines())
    assert told.lines() == [
        f"{token.token.id}  client    shop          since 2026-03-01T12:00  until 2026-03-04T12:00"
    ]
    assert token.lines()[0] == token.secret
    assert TokenList(()).lines() == ["no tokens; next: losswatch token --add client"]
