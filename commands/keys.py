"""Make, list and remove the keys with which people on other machines reach a sidecar here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.keys import KEY_VARIABLE, KeyStore, default_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    do: tyro.conf.Positional[Literal["new", "list", "remove"]] = "list"
    """new NAME: make a key for somebody; list: who has one; remove NAME: let it open nothing any more."""

    name: tyro.conf.Positional[str] = ""
    """Whose key."""

    role: Literal["player", "viewer", "admin"] = "player"
    """What its holder may do: look on and chat; play; also moderate rooms."""

    out: Path | None = None
    """Where to write the key file, instead of NAME.key in the folder."""

    folder: Path | None = None
    """Where the sidecar's keys are kept; `serve --keys` reads the same one by itself."""


def run(options: Options) -> None:
    """Do one thing with the keys."""
    store = KeyStore(options.folder or default_folder())
    if options.do == "list":
        _list(store)
        return
    if not options.name:
        raise InhabitError(f"Expected a name, as in `inhabit keys {options.do} ann`, got none")
    if options.do == "remove":
        store.remove(options.name)
        print(f"{options.name}'s key opens no new connection; restart the sidecar to end those that are open")
        return
    path = store.add(options.name, options.role, options.out)
    print(f"{path}  the key of {options.name}, {options.role}: give it to them and nobody else")
    print(
        f"they set {KEY_VARIABLE} to where they keep it; you start `inhabit serve WORLD --keys --bind tcp://0.0.0.0:5555`"
    )


def _list(store: KeyStore) -> None:
    from rich.console import Console
    from rich.table import Table

    people = store.people()
    if not people:
        print(f"nobody has a key in {store.folder}: make one with `inhabit keys new NAME`")
        return
    table = Table("name", "role", "public key", "sessions", "inputs/s", "prompts/min")
    for name, grant in people.items():
        quota = grant.quota
        table.add_row(
            name, grant.role, grant.public.replace("[", "\\["), str(quota.sessions or "any"), f"{quota.inputs_per_s:g}",
            f"{quota.prompts_per_min:g}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"kept in {store.folder}")
