"""PromptLine: one line of text that a person types while the world goes on. It knows the keyboard, not the world."""

from __future__ import annotations

import pygame

LONGEST = 512
"""Characters; what the wire carries."""

REMEMBERED = 50


class PromptLine:
    """Open it, hand it the events, and take what was said from handle()."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        """Characters before it."""

        self._open = False
        self._said: list[str] = []
        self._place = 0

    @property
    def is_open(self) -> bool:
        """True while the keyboard belongs to the line."""
        return self._open

    def open(self) -> None:
        """Begin to type."""
        self.text, self.cursor, self._place = "", 0, len(self._said)
        self._open = True
        pygame.key.start_text_input()

    def close(self) -> None:
        """Give the keyboard back without saying anything."""
        self._open = False
        pygame.key.stop_text_input()

    def handle(self, event: pygame.event.Event) -> str:
        """Take in one pygame event. Returns what was said, once Enter was pressed, else ""."""
        if event.type == pygame.TEXTINPUT:
            self._insert(event.text)
        elif event.type == pygame.KEYDOWN:
            match event.key:
                case pygame.K_RETURN | pygame.K_KP_ENTER:
                    return self._say()
                case pygame.K_ESCAPE:
                    self.close()
                case pygame.K_BACKSPACE:
                    self._delete(self.cursor - 1)
                case pygame.K_DELETE:
                    self._delete(self.cursor)
                case pygame.K_UP | pygame.K_DOWN:
                    self._remember(-1 if event.key == pygame.K_UP else 1)
                case _:
                    self._move(event.key)
        return ""

    def _insert(self, text: str) -> None:
        text = "".join(letter for letter in text if letter.isprintable())[: LONGEST - len(self.text)]
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def _delete(self, place: int) -> None:
        if 0 <= place < len(self.text):
            self.text = self.text[:place] + self.text[place + 1 :]
            self.cursor = place

    def _move(self, key: int) -> None:
        places = {
            pygame.K_LEFT: self.cursor - 1, pygame.K_RIGHT: self.cursor + 1, pygame.K_HOME: 0,
            pygame.K_END: len(self.text),
        }  # fmt: skip
        self.cursor = min(max(places.get(key, self.cursor), 0), len(self.text))

    def _say(self) -> str:
        said = self.text.strip()
        if said:
            self._said = [*[earlier for earlier in self._said if earlier != said], said][-REMEMBERED:]
        self.close()
        return said

    def _remember(self, step: int) -> None:
        """Go through what was said before; past its end is an empty line."""
        self._place = min(max(self._place + step, 0), len(self._said))
        self.text = self._said[self._place] if self._place < len(self._said) else ""
        self.cursor = len(self.text)
