"""Who may ask the scoring server for what: tokens by role, of which only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from pipelines.errors import UserError
from pipelines.file_lock import file_lock

Role = Literal["client", "labeller", "viewer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
VARIABLE = "LOSSWATCH_TOKEN"
FILE = "tokens.json"  # in the project's folder of state
MEANING = {
    "client": "asks for predictions",
    "labeller": "sends labels",
    "viewer": "reads figures and the description of the server",
    "operator": "all of it",
}
_LEAST_LENGTH = 16  # characters of a token that a person chose; those made here have 43


@dataclass(frozen=True)
class Token:
    """One token. sha256: 64 hex digits of it; name: whose it is; expires: aware, None where it does not."""

    id: str
    role: Role
    name: str
    sha256: str
    created: str
    expires: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is still good."""
        return self.expires is None or now < datetime.fromisoformat(self.expires)

    def allows(self, role: Role | None) -> bool:
        """Whether it opens what is for this role; None for what any token opens."""
        return role is None or self.role in (role, "operator")


class Tokens:
    """The tokens of a server: those of the environment, and those of a file, which is read anew when it changes."""

    def __init__(self, path: Path, fixed: Sequence[str] = ()) -> None:
        """fixed: tokens of the environment, which open everything.

        `UserError` where one is too short to be secret, or the file cannot be read.
        """
        for token in fixed:
            if len(token) < _LEAST_LENGTH:
                raise UserError(
                    f"{VARIABLE}: a token of {len(token)} characters can be guessed; expected at least "
                    f"{_LEAST_LENGTH}. Make one with: losswatch token --add operator"
                )
        self._path = path
        self._fixed = [
            Token(f"env-{place}", "operator", "", _hashed(token.encode()), "")
            for place, token in enumerate(fixed)
        ]
        self._seen: tuple[int, int] | None = None
        self._tokens: list[Token] = []
        self.refresh()

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def refresh(self) -> None:
        """Reads the file anew where it has changed; `UserError` where it cannot be read."""
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            seen = None
        if seen is None or seen != self._seen:
            self._tokens = [*self._fixed, *(read_tokens(self._path) if seen else ())]
            self._seen = seen

    def find(self, authorization: bytes, now: datetime) -> Token | None:
        """The token of a header such as b"Bearer ...", None where it is none of ours or no longer good."""
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        hashed, found = _hashed(given.strip()), None
        for token in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(token.sha256, hashed):
                found = token
        return found if found is not None and found.holds(now) else None


def of_environment(value: str | None) -> tuple[str, ...]:
    """The tokens in the variable: one, or two with a comma while one takes the other's place.

    >>> of_environment("old-token,new-token"), of_environment("")
    (('old-token', 'new-token'), ())
    """
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def read_tokens(path: Path) -> tuple[Token, ...]:
    """What the file holds, () where there is none; `UserError` where it is damaged or others may write it."""
    try:
        if path.stat().st_mode & 0o022:
            raise UserError(f"{path}: others may write it, and so let themselves in. Do: chmod 600 {path}")
        records = json.loads(path.read_text("utf-8"))["tokens"]
        return tuple(Token(**record) for record in records)
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}). Restore it, or remove it and make new tokens"
        ) from error


@dataclass(frozen=True)
class NewToken:
    """A token that was just made; `secret` is shown once and kept nowhere."""

    token: Token
    secret: str

    def lines(self) -> list[str]:
        token = self.token
        until = f"until {token.expires[:16]}" if token.expires else "for good"
        return [
            self.secret,
            f"token {token.id} ({token.role}: {MEANING[token.role]}), {until}; it is not shown again",
            "clients send it as: Authorization: Bearer TOKEN",
        ]


@dataclass(frozen=True)
class TokenList:
    """The tokens of a project; what they are cannot be told from it."""

    tokens: tuple[Token, ...]

    def lines(self) -> list[str]:
        if not self.tokens:
            return ["no tokens; next: losswatch token --add client"]
        return [
            f"{token.id}  {token.role:<8}  {token.name or '-':<12}  since {token.created[:16]}  "
            f"{'until ' + token.expires[:16] if token.expires else 'for good'}"
            for token in self.tokens
        ]


def add_token(path: Path, role: Role, *, name: str, days: int | None, now: datetime) -> NewToken:
    """Makes a token; running servers take it within a second. days: after which it is no longer good."""
    secret = secrets.token_urlsafe(32)
    expires = (now + timedelta(days=days)).isoformat() if days is not None else None
    hashed = _hashed(secret.encode())
    token = Token(hashed[:8], role, name, hashed, now.isoformat(), expires)
    with _changed(path) as tokens:
        tokens.append(token)
    return NewToken(token, secret)


def remove_token(path: Path, id: str) -> TokenList:
    """Takes a token back; running servers refuse it within a second."""
    with _changed(path) as tokens:
        known = [token.id for token in tokens]
        if id not in known:
            raise UserError(f"no token {id!r}; there are {', '.join(known) or 'none'}")
        tokens[:] = [token for token in tokens if token.id != id]
    return TokenList(read_tokens(path))


@contextmanager
def _changed(path: Path) -> Iterator[list[Token]]:
    with file_lock(path.with_name("tokens.lock")):
        tokens = list(read_tokens(path))
        yield tokens
        part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"tokens": [asdict(token) for token in tokens]}, file, indent=1)
        os.replace(part, path)


def _hashed(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()
