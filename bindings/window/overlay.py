"""What is drawn over the picture: statistics, strips, recording mark, labels and notices. Data in, pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pygame

from inhabit.bindings.window.latency import InputEvent
from inhabit.bindings.window.paint import ACCENT, BAD, DIM, GOOD, SMALLEST_TEXT_PX, TEXT, WARN, Colour, Painter

STATE_COLOURS = {"running": GOOD, "ready": GOOD, "paused": WARN, "loading": ACCENT, "failed": BAD, "lost": BAD}


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What the statistics overlay shows of one world."""

    title: str
    state: str
    fps: float
    """Frames that arrived in the last second or so."""

    rate_hz: float
    """What the world's own clock asks for."""

    latency_ms: tuple[float, ...] | None
    """Input to frame, median and 95th percentile; None before the first answered input."""

    facts: tuple[tuple[str, str], ...]
    """Further names and values, one line each."""

    events: tuple[InputEvent, ...] = ()
    """The last inputs, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that stands in the middle of the picture until it is over."""

    title: str
    lines: tuple[str, ...] = ()
    """What happened and why."""

    way_out: str = ""
    """What the person can do, or what happens next."""

    colour: Colour = TEXT
    busy_s: float | None = None
    """How long it has been going on, when something works on it: draws a moving bar."""


def draw_statistics(painter: Painter, surface: pygame.Surface, room: pygame.Rect, view: Statistics) -> pygame.Rect:
    """Draw the statistics in the room's top left corner, as large as suits and as much as fits. Returns where."""
    margin = max(4, room.width // 80)
    space = room.inflate(-2 * margin, -2 * margin)
    sizes = [(px, view) for px in range(painter.text_px(surface, 1 / 40), SMALLEST_TEXT_PX - 1, -1)]
    sizes += [(SMALLEST_TEXT_PX, replace(view, events=view.events[n:])) for n in range(1, len(view.events) + 1)]
    for px, shown in sizes:
        rect = pygame.Rect(space.topleft, _statistics_size(painter, shown, px))
        if space.contains(rect):
            _paint_statistics(painter, surface, rect, shown, px)
            return rect
    return _draw_summary(painter, surface, space, view)


def draw_strip(
    painter: Painter, surface: pygame.Surface, words: str, *, top: bool = False, lifted: int = 0
) -> pygame.Rect:
    """Draw words in a small panel at the window's lower (or upper) edge, `lifted` lines above it."""
    px = painter.text_px(surface, 1 / 34)
    lines = painter.wrap(words, px, surface.get_width() - 4 * px)
    width = max(painter.width(line, px) for line in lines) + 2 * px
    rect = pygame.Rect(0, 0, width, len(lines) * painter.line_px(px) + round(px * 0.7))
    room = surface.get_rect()
    rect.midtop = (room.centerx, px)
    if not top:
        rect.midbottom = (room.centerx, room.bottom - px - lifted * painter.line_px(px))
    painter.panel(surface, rect)
    for row, line in enumerate(lines):
        image = painter.text(line, px)
        surface.blit(image, image.get_rect(centerx=rect.centerx, top=rect.top + px // 2 + row * painter.line_px(px)))
    return rect


def draw_line(
    painter: Painter, surface: pygame.Surface, text: str, cursor: int, examples: Sequence[str] = ()
) -> pygame.Rect:
    """Draw the line in which a person types, at the window's lower edge, with examples above it. Returns where."""
    px = painter.text_px(surface, 1 / 28)
    room = surface.get_rect().inflate(-2 * px, -2 * px)
    rect = pygame.Rect(0, 0, room.width, painter.line_px(px) + px)
    rect.midbottom = room.midbottom
    painter.panel(surface, rect)
    inner = rect.width - 2 * px
    start = 0
    while painter.width(text[start:cursor], px) > inner - px:  # a long line shows the part that is being typed
        start += 1
    shown = text[start:]
    while painter.width(shown, px) > inner:
        shown = shown[:-1]
    x, y = rect.left + px, rect.top + px // 2
    words = shown or "Say what the world shall be, Enter says it, Esc closes"
    surface.blit(painter.text(words, px, TEXT if shown else DIM), (x, y))
    caret = x + painter.width(text[start:cursor], px)
    pygame.draw.line(surface, ACCENT, (caret, y + 2), (caret, y + painter.line_px(px) - 2), max(1, px // 9))
    small = max(SMALLEST_TEXT_PX, round(px * 0.8))
    for row, example in enumerate(reversed(examples[:9])):
        line = painter.clip(f"{len(examples[:9]) - row}  {example}", small, inner)
        image = painter.text(line, small, DIM)
        top = rect.top - (row + 1) * painter.line_px(small) - px // 3
        if text or top < room.top:
            break
        back = pygame.Rect(rect.left, top, image.get_width() + 2 * px, painter.line_px(small))
        painter.panel(surface, back)
        surface.blit(image, (x, top))
    return rect


def draw_label(painter: Painter, surface: pygame.Surface, rect: pygame.Rect, words: str) -> None:
    """Name a picture in its lower left corner."""
    px = painter.text_px(surface, 1 / 34)
    image = painter.text(painter.clip(words, px, rect.width - 2 * px), px)
    panel = pygame.Rect(0, 0, image.get_width() + px, painter.line_px(px))
    panel.bottomleft = (rect.left + px // 2, rect.bottom - px // 2)
    painter.panel(surface, panel)
    surface.blit(image, image.get_rect(center=panel.center))


def draw_recording(painter: Painter, surface: pygame.Surface, seconds: float) -> None:
    """Show in the upper right corner that a clip is being written, and how long it is."""
    px = painter.text_px(surface, 1 / 34)
    image = painter.text(f"REC  {int(seconds) // 60}:{int(seconds) % 60:02d}", px)
    panel = pygame.Rect(0, 0, image.get_width() + round(2.4 * px), painter.line_px(px))
    panel.topright = (surface.get_width() - px, px)
    painter.panel(surface, panel)
    pygame.draw.circle(surface, BAD, (panel.left + px, panel.centery), max(3, px // 3))
    surface.blit(image, image.get_rect(midleft=(panel.left + round(1.7 * px), panel.centery)))


def draw_notice(painter: Painter, surface: pygame.Surface, room: pygame.Rect, notice: Notice) -> pygame.Rect:
    """Draw a notice in the middle of a room. Returns where."""
    px = painter.text_px(surface)
    title_px = round(px * 1.5)
    inner = min(room.width - 2 * px, 34 * px) - 2 * px
    rows = [(line, title_px, notice.colour) for line in painter.wrap(notice.title, title_px, inner)]
    rows += [(line, px, TEXT) for text in notice.lines for line in painter.wrap(text, px, inner)]
    rows += [(line, px, DIM) for line in painter.wrap(notice.way_out, px, inner)]
    bar = 0 if notice.busy_s is None else round(1.6 * px)
    height = sum(painter.line_px(size) for _, size, _ in rows) + bar + 2 * px
    width = max(painter.width(text, size) for text, size, _ in rows) + 4 * px
    rect = pygame.Rect(0, 0, max(width, min(16 * px, room.width - 2 * px)), height)
    rect.center = room.center
    painter.panel(surface, rect)
    y = rect.top + px
    for text, size, colour in rows:
        image = painter.text(text, size, colour)
        surface.blit(image, image.get_rect(centerx=rect.centerx, top=y))
        y += painter.line_px(size)
    if notice.busy_s is not None:
        track = pygame.Rect(rect.left + 2 * px, y + px // 2, rect.width - 4 * px, max(3, px // 4))
        _draw_busy(surface, track, notice.busy_s)
    return rect


def _draw_busy(surface: pygame.Surface, track: pygame.Rect, seconds: float) -> None:
    radius = track.height // 2
    pygame.draw.rect(surface, (52, 58, 70), track, border_radius=radius)
    width = track.width // 4
    swing = abs((seconds * 0.7) % 2.0 - 1.0)
    runner = pygame.Rect(track.left + round((track.width - width) * swing), track.top, width, track.height)
    pygame.draw.rect(surface, ACCENT, runner, border_radius=radius)


def _figures(view: Statistics) -> list[tuple[str, str, Colour]]:
    slow = view.state == "running" and 0 < view.fps < 0.8 * view.rate_hz
    figures = [(f"{view.fps:.1f}" if view.fps else "-", f"of {view.rate_hz:g} fps", WARN if slow else TEXT)]
    median, p95 = view.latency_ms or (None, None)
    figures.append(("-" if median is None else f"{median:.0f}", "ms input to frame", TEXT))
    figures.append(("-" if p95 is None else f"{p95:.0f}", "ms at the 95th", TEXT))
    return figures


def _columns(painter: Painter, px: int) -> tuple[int, int]:
    """Widths of the event table's frame and latency columns, pixels."""
    return painter.width("frame 0000000", px), painter.width("00000 ms", px)


def _statistics_size(painter: Painter, view: Statistics, px: int) -> tuple[int, int]:
    line = painter.line_px(px)
    figures = sum(_figure_width(painter, figure, px) + 2 * px for figure in _figures(view))
    table = painter.width("ArrowRight down, ArrowUp up", px) + sum(_columns(painter, px)) + 2 * px
    width = max(figures, table, painter.width(view.title + view.state, px) + 5 * px) + 2 * px
    fact_lines = (len(view.facts) + 1) // 2
    events = line * len(view.events) + px if view.events else 0
    return width, 2 * px + line + round(3.4 * px) + fact_lines * line + events


def _figure_width(painter: Painter, figure: tuple[str, str, Colour], px: int) -> int:
    return max(painter.width("0000.0", round(1.7 * px)), painter.width(figure[1], px))


def _paint_statistics(painter: Painter, surface: pygame.Surface, rect: pygame.Rect, view: Statistics, px: int) -> None:
    line = painter.line_px(px)
    painter.panel(surface, rect)
    left, right, y = rect.left + px, rect.right - px, rect.top + px
    surface.blit(painter.text(view.title, px), (left, y))
    state = painter.text(view.state, px, STATE_COLOURS.get(view.state, TEXT))
    surface.blit(state, state.get_rect(topright=(right, y)))
    y += line
    x = left
    for figure in _figures(view):
        surface.blit(painter.text(figure[0], round(1.7 * px), figure[2]), (x, y))
        surface.blit(painter.text(figure[1], px, DIM), (x, y + round(1.9 * px)))
        x += _figure_width(painter, figure, px) + 2 * px
    y += round(3.4 * px)
    y = _paint_facts(painter, surface, view.facts, pygame.Rect(left, y, right - left, line), px)
    if view.events:
        pygame.draw.line(surface, (66, 72, 86), (left, y + px // 2), (right, y + px // 2))
        _paint_events(painter, surface, view.events, pygame.Rect(left, y + px, right - left, line), px)


def _paint_facts(
    painter: Painter, surface: pygame.Surface, facts: Sequence[tuple[str, str]], row: pygame.Rect, px: int
) -> int:
    half = row.width // 2
    for number, (name, value) in enumerate(facts):
        x = row.left + (number % 2) * half
        surface.blit(painter.text(name, px, DIM), (x, row.top))
        surface.blit(painter.text(value, px), (x + painter.width(f"{name}  ", px), row.top))
        if number % 2 or number == len(facts) - 1:
            row = row.move(0, row.height)
    return row.top


def _paint_events(
    painter: Painter, surface: pygame.Surface, events: Sequence[InputEvent], row: pygame.Rect, px: int
) -> None:
    frame_width, latency_width = _columns(painter, px)
    room = row.width - frame_width - latency_width - px
    for event in reversed(events):
        answered = event.frame is not None
        surface.blit(painter.text(painter.clip(event.text, px, room), px, TEXT if answered else DIM), row.topleft)
        frame = painter.text(f"frame {event.frame}" if answered else "waiting", px, DIM)
        surface.blit(frame, frame.get_rect(topright=(row.right - latency_width - px // 2, row.top)))
        if event.latency_ms is not None:
            latency = painter.text(f"{event.latency_ms:.0f} ms", px)
            surface.blit(latency, latency.get_rect(topright=(row.right, row.top)))
        row = row.move(0, row.height)


def _draw_summary(painter: Painter, surface: pygame.Surface, space: pygame.Rect, view: Statistics) -> pygame.Rect:
    """A small window gets the three figures that matter."""
    px = SMALLEST_TEXT_PX
    words = f"{view.fps:.1f} fps"
    if view.latency_ms:
        words += f"   {view.latency_ms[0]:.0f} / {view.latency_ms[1]:.0f} ms"
    rect = pygame.Rect(space.topleft, (painter.width(words, px) + px, painter.line_px(px) + 2))
    painter.panel(surface, rect)
    surface.blit(painter.text(words, px), (rect.left + px // 2, rect.top + 2))
    return rect
