"""What members of a room ask for, who may have it, and what becomes of it before the world hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inhabit.bridge import messages as wire
from inhabit.bridge.member import Member
from inhabit.bridge.messages import Message, clip_text
from inhabit.bridge.order import SERVER_TABLE
from inhabit.bridge.pacing import NS_PER_S
from inhabit.bridge.people import Moderate, clean
from inhabit.bridge.requests import Waiting, request_of
from inhabit.bridge.session import Task

if TYPE_CHECKING:
    from inhabit.bridge.room import Room


class RoomRules:
    """The rules of one room. `moderate` looks at every chat line and prompt."""

    def __init__(self, room: Room, moderate: Moderate):
        self._room, self._moderate = room, moderate
        self._prompt_due_ns = 0

    def may_prompt(self, member: Member, head: Waiting, now_ns: int) -> bool:
        """Is it time for this request? Only prompts ever wait."""
        if not isinstance(head.packet.message, wire.Prompt):
            return True
        return now_ns >= max(self._prompt_due_ns, member.prompt_due_ns)

    def judge(self, member: Member, message: Message, now_ns: int) -> Message | Task | None:
        """An answer for a request that needs no world, or the message itself when the world shall do it."""
        steers = self._steers(member)
        match message:
            case wire.Drive():
                return self._drive(member, message, now_ns)
            case wire.Moderate():
                return self._discipline(member, message, now_ns)
            case wire.Prompt(text=text):
                return self._prompt(member, message, text, now_ns)
            case wire.Reset() if not member.entered:
                member.entered = True
                return member.ack(message, f"joined the room {self._room.name!r}, which goes on")
            case wire.Reset() | wire.Restore() | wire.Set() | wire.Pause() | wire.Resume() | wire.Save() if not steers:
                kind = type(message).__name__.upper()
                who = self._room.name_of(self._room.token.driver) or "nobody"
                text = f"Expected {kind} of the driver, which is {who}: ask for the token with DRIVE"
                return wire.Error(code="not_allowed", message=clip_text(text), request=request_of(message))
            case wire.Pause() | wire.Resume():
                return self._stop_or_go(member, message, now_ns)
        return message

    def chat(self, member: Member, text: str, now_ns: int) -> None:
        """Somebody says something to all."""
        said = None if member.muted else self._moderate("chat", member.name, clean(text, 512))
        if said:
            self._room.tell("chat", member, said, now_ns)
        else:
            member.complain("refused", "You are muted" if member.muted else "This was not passed on")

    def _steers(self, member: Member) -> bool:
        return member.role == "admin" or member.number == self._room.token.driver or len(self._room.members) == 1

    def _drive(self, member: Member, message: wire.Drive, now_ns: int) -> Message:
        if self._room.options.steering == "vote":
            text = "Expected no DRIVE: in this room all steer by vote"
            return wire.Error(code="refused", message=text, request=message.request)
        before = self._room.token.driver
        if message.what == "ask":
            self._room.token.ask(member.number, now_ns)
        elif message.what == "release":
            self._room.token.release(member.number, now_ns)
        else:
            heir = self._room.members.get(message.member)
            if heir is None or not heir.plays:
                text = f"Expected the number of a player in the room, got {message.member}"
                return wire.Error(code="refused", message=text, request=message.request)
            if before != member.number and member.role != "admin":
                text = "Expected the driver or an admin to grant the token"
                return wire.Error(code="not_allowed", message=text, request=message.request)
            self._room.token.grant(heir.number, now_ns)
        self._room.tell_driver(before, "", now_ns)
        self._room.changed()
        driver = self._room.token.driver
        return member.ack(message, "" if driver == member.number else f"driver: {driver}")

    def _discipline(self, member: Member, message: wire.Moderate, now_ns: int) -> Message:
        other = self._room.members.get(message.member)
        if member.role != "admin" or other is None:
            code = "refused" if member.role == "admin" else "not_allowed"
            text = f"Expected an admin and a member of the room, got a {member.role} and {message.member}"
            return wire.Error(code=code, message=text, request=message.request)
        if message.what == "kick":
            other.close(f"removed by {member.name}: {message.reason or 'no reason given'}")
        else:
            other.muted = message.what == "mute"
        self._room.tell("notice", member, f"{message.what}: {other.name}", now_ns)
        self._room.changed()
        return member.ack(message)

    def _prompt(self, member: Member, message: Message, text: str, now_ns: int) -> Message:
        said = None if member.muted else self._moderate("prompt", member.name, clean(text, 512))
        if said is None:
            text = "You are muted" if member.muted else "This prompt was not passed on"
            return wire.Error(code="refused", message=text, request=request_of(message))
        self._prompt_due_ns = now_ns + round(self._room.options.prompt_cooldown_s * NS_PER_S)
        member.prompt_due_ns = now_ns + round(self._room.options.prompt_each_s * NS_PER_S)
        self._room.changed()
        return wire.replace(message, text=said)

    def _stop_or_go(self, member: Member, message: Message, now_ns: int) -> Message:
        state = SERVER_TABLE[self._room.state].get(type(message))
        if state is None:
            text = f"Cannot {type(message).__name__.upper()} while {self._room.state}"
            return wire.Error(code="wrong_state", message=text, request=request_of(message))
        if state != self._room.state:
            self._room.restart_clock(now_ns)
            self._room.tell(type(message).__name__.lower(), member, "", now_ns)
        self._room.go(state)
        return member.ack(message)
