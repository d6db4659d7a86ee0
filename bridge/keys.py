"""Keys: who may connect from another machine, and as what. CURVE key pairs in files that only their owner can read.

A sidecar's folder has `server.json` (its own pair) and `people.json` (everybody's public key, role and quota). What a
person gets is one file, NAME.key: the sidecar's public key and a pair of their own. Encryption without this list would
let any stranger's key in (libzmq's CURVE authenticates nobody by itself), so there is no such mode.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import Role
from inhabit.bridge.quotas import Quota

KEY_VARIABLE = "INHABIT_KEY"
"""Environment variable with the path of one's key file, which every client then uses."""

SERVER_FILE, PEOPLE_FILE = "server.json", "people.json"
NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")

Z85 = Annotated[str, msgspec.Meta(min_length=40, max_length=40)]


class KeyFileError(InhabitError):
    """A key file is missing, damaged or open to others."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE key pair, each half 40 characters of Z85."""

    public: Z85
    secret: Z85


class ClientKey(msgspec.Struct, frozen=True, kw_only=True):
    """What one person needs to reach one sidecar."""

    name: str
    server: Z85
    """The sidecar's public key."""

    public: Z85
    secret: Z85


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the holder of a key may do."""

    public: str = ""
    role: Role = "player"
    quota: Quota = Quota()


LOCAL = Grant(quota=Quota(sessions=0, messages_per_s=50_000, bytes_per_s=500_000_000))
"""Whoever is on this machine already."""


def default_folder() -> Path:
    """Where keys are kept unless told otherwise."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "inhabit" / "keys"


def make_pair() -> Pair:
    """A new key pair."""
    from inhabit.bridge.transport import curve_pair  # which asks us for the list of keys

    public, secret = curve_pair()
    return Pair(public=public, secret=secret)


class KeyStore:
    """A sidecar's keys in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._read_ns = -1
        self._people: dict[str, Grant] = {}

    def server(self, *, make: bool = False) -> Pair:
        """The sidecar's own pair. Raises KeyFileError when there is none and none shall be made."""
        path = self.folder / SERVER_FILE
        if path.is_file():
            return _read(path, Pair)
        if not make:
            raise KeyFileError(f"Expected keys in {self.folder}, got none: make some with `inhabit keys new NAME`")
        pair = make_pair()
        _write(path, pair)
        return pair

    def people(self) -> Mapping[str, Grant]:
        """Name to grant. Read anew when the file has changed, so that a removed key opens nothing any more."""
        path = self.folder / PEOPLE_FILE
        try:
            changed_ns = path.stat().st_mtime_ns
        except OSError:
            self._people, self._read_ns = {}, -1
            return self._people
        if changed_ns != self._read_ns:
            self._people, self._read_ns = _read(path, dict[str, Grant]), changed_ns
        return self._people

    def add(self, name: str, role: Role, out: Path | None = None) -> Path:
        """Make a key for somebody. Returns the file to give them."""
        if not NAME.fullmatch(name):
            raise KeyFileError(f"Expected a name of up to 32 letters, digits, _ and -, got {name!r}")
        server, people = self.server(make=True), dict(self.people())
        if name in people:
            raise KeyFileError(
                f"Expected a new name, got {name!r}, which has a key: `inhabit keys remove {name}` first"
            )
        pair = make_pair()
        people[name] = Grant(public=pair.public, role=role)
        path = out or self.folder / f"{name}.key"
        _write(path, ClientKey(name=name, server=server.public, public=pair.public, secret=pair.secret))
        _write(self.folder / PEOPLE_FILE, people)
        return path

    def remove(self, name: str) -> None:
        """Let a key open nothing any more."""
        people = dict(self.people())
        if people.pop(name, None) is None:
            known = ", ".join(people) or "nobody has one"
            raise KeyFileError(f"Expected the name of somebody with a key ({known}), got {name!r}")
        _write(self.folder / PEOPLE_FILE, people)
        (self.folder / f"{name}.key").unlink(missing_ok=True)

    def grant(self, public: str) -> tuple[str, Grant] | None:
        """Whose public key it is, and what they may do; None for a stranger's."""
        for name, grant in self.people().items():
            if grant.public == public:
                return name, grant
        return None


def read_key(path: Path) -> ClientKey:
    """Read the file that `inhabit keys new` made. Raises KeyFileError."""
    return _read(path, ClientKey)


def key_from_environment() -> ClientKey | None:
    """The key that INHABIT_KEY names, None when it names none."""
    path = os.environ.get(KEY_VARIABLE)
    return read_key(Path(path)) if path else None


def _read(path: Path, kind: Any) -> Any:
    """Read JSON that no one else may read."""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise KeyFileError(f"Expected {path} to be readable by its owner only: chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyFileError(f"Expected a file that `inhabit keys` made, got: {error} - at {path}") from error


def _write(path: Path, value: object) -> None:
    """Write JSON beside and rename, open to the owner only from its first byte."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise KeyFileError(f"Cannot write {path}: {error.strerror or error}, choose another folder") from error
