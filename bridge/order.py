"""The order of messages, as data: which one is allowed when, and what it makes of the state."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from inhabit.bridge.fields import Mode
from inhabit.bridge.messages import (
    REQUESTS,
    Ack,
    Attached,
    Bye,
    Chat,
    Credit,
    Drive,
    Error,
    Event,
    Figures,
    FrameHeader,
    Hello,
    Input,
    Key,
    List,
    Listed,
    Look,
    Message,
    Moderate,
    Pause,
    Ping,
    Pong,
    Prompt,
    Queued,
    Reset,
    Restore,
    Resume,
    Ring,
    Roster,
    Save,
    Set,
    State,
    Step,
    Stepped,
    Welcome,
)

SessionState = Literal["loading", "ready", "running", "paused", "failed", "closed"]
Kinds = tuple[type[Message], ...]
Row = Mapping[type[Message], SessionState]


ALWAYS: Kinds = (Hello, Ping, Credit, Input, Chat, List, Look, Attached, Key)
"""What may be said in any state and leaves it as it is."""

TALK: Kinds = (Set, Prompt, Drive, Moderate)
"""Requests that leave the state as it is, whenever there is a world."""


def _row(stay: SessionState, *kinds: type[Message], moves: Row) -> Row:
    """One line of the table: kinds that leave the state as it is, and those that move it. Any state ends with BYE."""
    return MappingProxyType({**dict.fromkeys((*ALWAYS, *kinds), stay), Bye: "closed", **moves})


SERVER_TABLE: Mapping[SessionState, Row] = MappingProxyType(
    {
        "loading": _row("loading", moves={}),
        "ready": _row("ready", *TALK, moves={Reset: "running", Restore: "running"}),
        "running": _row("running", *TALK, Step, Reset, Save, Restore, Resume, moves={Pause: "paused"}),
        "paused": _row("paused", *TALK, Save, Restore, Pause, moves={Reset: "running", Resume: "running"}),
        "failed": _row("failed", moves={}),
        "closed": MappingProxyType({}),
    }
)
"""The server: state and message give the next state; what is not here is answered by ERROR wrong_state.

Besides messages, the world itself moves a session from loading to ready, and from any state to failed.
"""

NOT_IN_MODE: Mapping[Mode, Kinds] = MappingProxyType(
    {"free": (Step,), "lockstep": (Input, Credit, Pause, Resume, Chat, Drive, Moderate), "monitor": REQUESTS}
)
"""What a mode has no use for, in any state; answered by ERROR wrong_mode."""

LinkPhase = Literal["greeting", "joined", "over"]

CLIENT_TABLE: Mapping[LinkPhase, Kinds] = MappingProxyType(
    {
        "greeting": (State, Welcome, Error, Pong, Bye, Roster, Event, Listed, Queued, Figures),
        "joined": (
            State,
            Welcome,
            Error,
            Pong,
            Bye,
            Ack,
            Stepped,
            FrameHeader,
            Roster,
            Event,
            Listed,
            Figures,
            Ring,
        ),
        "over": (),
    }
)
"""The client: what it takes before WELCOME, after it, and when the session has ended (nothing: it is not listening)."""
