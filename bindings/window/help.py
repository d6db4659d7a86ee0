"""The help overlay: what each key, mouse move and pad button does, made from the world's own action map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from inhabit.bindings.window.keys import COMMANDS, action_title, keys_for, label
from inhabit.bindings.window.paint import ACCENT, DIM, SMALLEST_TEXT_PX, Painter
from inhabit.bridge.controls import ActionMap, ActionSource

TIGHTEST_TEXT_PX = 8
ROOM_SHARE = 0.96
"""Share of the window that the help may cover."""

GLASS = (13, 15, 20, 236)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of help."""

    text: str
    caps: tuple[str, ...]
    """Labels of keys, each drawn as a key cap."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one page of help is drawn."""

    sections: tuple[Section, ...]
    px: int
    """Text height, pixels."""

    wide: bool
    """Sections beside each other, not below."""


def help_sections(actions: ActionMap | None, owned: dict[str, str]) -> tuple[Section, ...]:
    """Everything a person can do here: first the world's actions, then the window's own keys.

    Args:
        owned: the window's keys, from `window_keys`.
    """
    play = tuple(row for source in (actions.sources if actions else ()) for row in _action_rows(source))
    window: list[Row] = []
    for command in COMMANDS:
        caps = tuple(label(key) for key in keys_for(command.name, owned))
        if caps and command.text:
            window.append(Row(command.text, caps))
        elif caps:
            window[-1] = Row(window[-1].text, window[-1].caps + caps)
    return tuple(section for section in (Section("Play", play), Section("Window", tuple(window))) if section.rows)


def help_pages(painter: Painter, surface: pygame.Surface, sections: tuple[Section, ...]) -> list[Layout]:
    """Lay the help out for a window: one page if everything fits readably, else a page for each section."""
    wanted = painter.text_px(surface, 1 / 34)
    together = _layout(painter, sections, surface.get_size(), wanted, SMALLEST_TEXT_PX)
    if together:
        return [together]
    alone = [_layout(painter, (section,), surface.get_size(), wanted, TIGHTEST_TEXT_PX) for section in sections]
    return [page or Layout((section,), TIGHTEST_TEXT_PX, False) for page, section in zip(alone, sections, strict=True)]


def draw_help(painter: Painter, surface: pygame.Surface, page: Layout) -> pygame.Rect:
    """Draw one page in the middle of the window. Returns where."""
    px = page.px
    rect = pygame.Rect((0, 0), _size(painter, page))
    rect.center = surface.get_rect().center
    painter.dim(surface, surface.get_rect(), 120)
    painter.panel(surface, rect, GLASS)
    x, y = rect.left + 2 * px, rect.top + round(1.2 * px)
    for section in page.sections:
        _paint_section(painter, surface, section, (x, y), px)
        if page.wide:
            x += _section_width(painter, section, px) + 3 * px
        else:
            y += _section_height(section, px) + px
    return rect


def _action_rows(source: ActionSource) -> list[Row]:
    title = action_title(source.name)
    if source.kind == "button":
        return [Row(title, _caps(source.keys, source.pad, source.mouse))]
    back = tuple(_opposite(axis) for axis in source.pad)
    return [
        Row(f"{title} -", _caps(source.keys_back, back, _opposite(source.mouse))),
        Row(f"{title} +", _caps(source.keys, source.pad, source.mouse)),
    ]


def _caps(keys: Sequence[str], pad: Sequence[str], mouse: str) -> tuple[str, ...]:
    return tuple(label(name) for name in (*keys, *([mouse] if mouse else []), *pad))


def _opposite(signed: str) -> str:
    return signed.translate(str.maketrans("+-", "-+"))


def _layout(
    painter: Painter, sections: tuple[Section, ...], room: tuple[int, int], wanted: int, smallest: int
) -> Layout | None:
    """Find the largest text at which the sections fit, beside each other rather than below; None when none does."""
    for px in range(wanted, smallest - 1, -1):
        for wide in (True, False):
            layout = Layout(sections, px, wide)
            width, height = _size(painter, layout)
            if width <= room[0] * ROOM_SHARE and height <= room[1] * ROOM_SHARE:
                return layout
    return None


def _size(painter: Painter, layout: Layout) -> tuple[int, int]:
    px, between = layout.px, len(layout.sections) - 1
    widths = [_section_width(painter, section, px) for section in layout.sections]
    heights = [_section_height(section, px) for section in layout.sections]
    if layout.wide:
        return sum(widths) + (4 + 3 * between) * px, max(heights) + round(2.4 * px)
    return max(widths) + 4 * px, sum(heights) + round((2.4 + between) * px)


def _row_px(px: int) -> int:
    return round(px * 1.75)


def _section_height(section: Section, px: int) -> int:
    return round(px * 2.2) + len(section.rows) * _row_px(px)


def _text_width(painter: Painter, section: Section, px: int) -> int:
    return max(painter.width(row.text, px) for row in section.rows)


def _cap_px(px: int) -> int:
    return max(TIGHTEST_TEXT_PX, round(px * 0.86))


def _caps_width(painter: Painter, row: Row, px: int) -> int:
    return sum(painter.cap_width(cap, _cap_px(px)) + px // 3 for cap in row.caps)


def _section_width(painter: Painter, section: Section, px: int) -> int:
    caps = max(_caps_width(painter, row, px) for row in section.rows)
    return max(_text_width(painter, section, px) + px + caps, painter.width(section.title, px))


def _paint_section(painter: Painter, surface: pygame.Surface, section: Section, at: tuple[int, int], px: int) -> None:
    x, y = at
    surface.blit(painter.text(section.title, px, ACCENT), (x, y))
    y += round(px * 2.2)
    caps_x = x + _text_width(painter, section, px) + px
    for row in section.rows:
        text = painter.text(row.text, px) if row.caps else painter.text(row.text, px, DIM)
        middle = y + painter.line_px(px) // 2
        surface.blit(text, text.get_rect(midleft=(x, middle)))
        cap_x = caps_x
        for cap in row.caps:
            top = middle - painter.line_px(_cap_px(px)) // 2
            cap_x += painter.cap(surface, cap, _cap_px(px), (cap_x, top)) + px // 3
        y += _row_px(px)
