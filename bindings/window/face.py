"""Face: everything the window shows, composed: the worlds, then what is said about them."""

from __future__ import annotations

from collections.abc import Sequence

import pygame

from inhabit.bindings.window.help import Section, draw_help, help_pages
from inhabit.bindings.window.overlay import (
    draw_label,
    draw_line,
    draw_notice,
    draw_recording,
    draw_statistics,
    draw_strip,
)
from inhabit.bindings.window.paint import Painter
from inhabit.bindings.window.pane import Pane
from inhabit.bindings.window.prompt_line import PromptLine
from inhabit.bindings.window.screen import Screen

HINT = "F2 help  ·  F1 statistics  ·  Esc leave"
HINT_S = 6.0
TOAST_S = 3.0
STATISTICS_HZ = 4.0
"""How often the statistics are drawn anew while no frame comes."""

UNKNOWN_PX = (320, 240)
"""What stands for the size of a world that has not said it yet."""


class Face:
    """Draws the window when what it shows has changed."""

    def __init__(self, screen: Screen, line: PromptLine):
        self.screen = screen
        self._line = line
        self.statistics = False
        self.sections: tuple[Section, ...] = ()
        """What the help says."""

        self._painter = Painter()
        self._help_page = -1
        self.toast = ""
        """What was said last."""

        self._toast_until_ns = self._hint_until_ns = 0
        self._drawn: object = None

    @property
    def helping(self) -> bool:
        """True while the help is shown."""
        return self._help_page >= 0

    def hint(self, now_ns: int) -> None:
        """Show for a while which keys to begin with."""
        self._hint_until_ns = now_ns + int(HINT_S * 1e9)

    def say(self, words: str, now_ns: int, for_s: float = TOAST_S) -> None:
        """Show a line for a while."""
        self.toast, self._toast_until_ns = words, now_ns + int(for_s * 1e9)

    def turn_help(self) -> None:
        """Show the help, its next page, or close it after the last."""
        pages = len(help_pages(self._painter, self.screen.surface, self.sections))
        self._help_page = self._help_page + 1 if self._help_page + 1 < pages else -1

    def close_help(self) -> None:
        self._help_page = -1

    def worlds_size(self, panes: Sequence[Pane]) -> tuple[int, int]:
        """Width and height of the part of the window that the worlds fill, pixels."""
        sizes = [(pane.info.width, pane.info.height) if pane.info else UNKNOWN_PX for pane in panes]
        return _union([rect for rect, _ in self.screen.places(sizes)]).size

    def draw(
        self, panes: Sequence[Pane], now_ns: int, *, fresh: bool, keep: bool, recording_s: float | None = None
    ) -> pygame.Surface | None:
        """Draw the window if anything in it changed.

        Args:
            fresh: a new frame has arrived.
            keep: return what a clip or a screenshot should hold: the worlds with their labels and statistics,
                without hints, notices and help.
            recording_s: length of the clip that is being written, None for no clip.
        """
        seen = self._seen(panes, now_ns, recording_s)
        if not (fresh or keep) and seen == self._drawn:
            return None
        self._drawn = seen
        rects = self._draw_worlds(panes, now_ns)
        picture = self.screen.surface.subsurface(_union(rects).clip(self.screen.room)).copy() if keep else None
        self._draw_over(panes, rects, now_ns, recording_s)
        self.screen.flip()
        return picture

    def _seen(self, panes: Sequence[Pane], now_ns: int, recording_s: float | None) -> object:
        """Everything but frames that decides what the window looks like: equal values, equal pictures."""
        beat = int(now_ns / 1e9 * STATISTICS_HZ) if self.statistics else 0
        return (
            self.screen.size, self.screen.fullscreen, self.statistics, beat, self._help_page, self.sections,
            self.toast if now_ns < self._toast_until_ns else "", now_ns < self._hint_until_ns,
            (self._line.is_open, self._line.text, self._line.cursor),
            tuple(pane.notice(now_ns) for pane in panes), None if recording_s is None else int(recording_s),
        )  # fmt: skip

    def _draw_worlds(self, panes: Sequence[Pane], now_ns: int) -> list[pygame.Rect]:
        surface = self.screen.surface
        info = next((pane.info for pane in panes if pane.info), None)
        content = (info.width, info.height) if info else UNKNOWN_PX
        rects = self.screen.draw([pane.frame.pixels if pane.frame else None for pane in panes], content)
        for pane, rect in zip(panes, rects, strict=True):
            if pane.label:
                draw_label(self._painter, surface, rect, pane.label)
            if self.statistics and pane.frame:
                draw_statistics(self._painter, surface, rect, pane.statistics(now_ns))
        return rects

    def _draw_over(
        self, panes: Sequence[Pane], rects: Sequence[pygame.Rect], now_ns: int, recording_s: float | None
    ) -> None:
        surface = self.screen.surface
        for pane, rect in zip(panes, rects, strict=True):
            notice = pane.notice(now_ns)
            if notice:
                self._painter.dim(surface, rect)
                draw_notice(self._painter, surface, rect, notice)
        if recording_s is not None:
            draw_recording(self._painter, surface, recording_s)
        if self._help_page >= 0:
            pages = help_pages(self._painter, surface, self.sections)
            draw_help(self._painter, surface, pages[min(self._help_page, len(pages) - 1)])
        if self._line.is_open:
            info = next((pane.info for pane in panes if pane.info and pane.info.prompts), None)
            draw_line(self._painter, surface, self._line.text, self._line.cursor, info.prompts if info else ())
        elif now_ns < self._hint_until_ns and not self.helping:
            labels = any(pane.label for pane in panes)
            draw_strip(self._painter, surface, HINT, lifted=2 if labels else 0)
        if now_ns < self._toast_until_ns:
            draw_strip(self._painter, surface, self.toast, top=True)


def _union(rects: Sequence[pygame.Rect]) -> pygame.Rect:
    return rects[0].unionall(list(rects[1:]))
