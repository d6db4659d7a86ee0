"""Presenter: a texture drawn into any framebuffer, aspect-true, with an upscaler that suits small worlds.

A world of 128 pixels on a screen of 1920 is magnified fifteen times. The edge-aware upscaler works at the world's
size: it doubles the picture, and doubles it again, then sharpens, and only the last step touches every pixel of the
screen. Its cost hardly depends on the screen.
"""

from __future__ import annotations

from typing import Literal

import moderngl

from inhabit.bindings.view import shaders
from inhabit.bridge.errors import LocalProtocolError

Upscaler = Literal["edge", "lanczos", "bilinear", "nearest"]
UPSCALERS: tuple[Upscaler, ...] = ("edge", "lanczos", "bilinear", "nearest")

LARGEST_DOUBLED_PX = 1024
"""A picture wider or higher than this is not doubled any more: its pixels are small enough."""

DOUBLINGS = 2

Rect = tuple[int, int, int, int]
"""Left, bottom, width and height, pixels."""


def fit(picture: tuple[int, int], room: Rect) -> Rect:
    """Lay a picture (width, height) into a room: centred, aspect-true, as large as fits."""
    left, bottom, width, height = room
    scale = min(width / picture[0], height / picture[1])
    drawn = (max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale)))
    return left + (width - drawn[0]) // 2, bottom + (height - drawn[1]) // 2, *drawn


class Presenter:
    """Draws pictures. Leaves the context as it was: your framebuffer, flags and viewport stay yours."""

    def __init__(self, ctx: moderngl.Context, *, upscaler: Upscaler = "edge", sharpness: float = 0.5):
        """Compile what is needed.

        Args:
            upscaler: "edge" follows edges and sharpens; "lanczos" is soft and true; "bilinear" is the cheapest
                smooth one; "nearest" keeps hard pixels.
            sharpness: of "edge", 0 to 1.

        Raises LocalProtocolError for another upscaler or sharpness.
        """
        if upscaler not in UPSCALERS:
            raise LocalProtocolError(f"Expected an upscaler of {', '.join(UPSCALERS)}, got {upscaler!r}")
        if not 0.0 <= sharpness <= 1.0:
            raise LocalProtocolError(f"Expected sharpness from 0 to 1, got {sharpness!r}")
        self.ctx = ctx
        self.upscaler: Upscaler = upscaler
        self.sharpness = sharpness
        self._programs: dict[str, tuple[moderngl.Program, moderngl.VertexArray]] = {}
        self._stages: dict[str, moderngl.Framebuffer] = {}

    def draw(
        self,
        texture: moderngl.Texture,
        target: moderngl.Framebuffer | None = None,
        *,
        room: Rect | None = None,
        bars: tuple[float, float, float] | None = (0.0, 0.0, 0.0),
        linear_out: bool = False,
    ) -> Rect:
        """Draw a picture and return where it lies.

        Args:
            texture: row 0 is the picture's top, as FrameStream has it; bytes as the frame has them (not `srgb`).
            target: None draws into the framebuffer that is in use.
            room: where in the target; None for all of its viewport.
            bars: colour of what the picture leaves free of the room, 0 to 1; None leaves that as it is.
            linear_out: write linear light: for a target that encodes sRGB by itself, or a scene that is lit.
        """
        used = self.ctx.fbo
        target = target or used
        room = room or target.viewport
        place = fit(texture.size, room)
        old_viewport = target.viewport
        with self.ctx.scope(target, moderngl.NOTHING):
            ready = self._prepare(texture, place)
            target.use()
            if bars is not None and place != room:
                target.viewport = room
                target.clear(*bars, 1.0, viewport=room)
            target.viewport = place
            kind = "lanczos" if self.upscaler == "lanczos" and ready is not texture else "copy"
            if self.upscaler == "nearest" and texture.size != place[2:]:
                kind = "nearest"
            self._run(kind, ready, linear_out=linear_out, along=(0.0, 1.0))
            target.viewport = old_viewport
        _use_again(used)
        return place

    def enlarge(self, texture: moderngl.Texture, size: tuple[int, int]) -> moderngl.Texture:
        """Do the upscaler's work for a picture that will be about this large, pixels, and return the result.

        What comes back has row 0 first, and is the texture itself when there is nothing to do.
        """
        used = self.ctx.fbo
        stage = self._stage("scope", (1, 1))
        with self.ctx.scope(stage, moderngl.NOTHING):
            result = texture if self.upscaler == "lanczos" else self._prepare(texture, (0, 0, *size))
        _use_again(used)
        return result

    def overlay(self, texture: moderngl.Texture, place: Rect, target: moderngl.Framebuffer | None = None) -> None:
        """Draw an RGBA texture over what is there, at `place`; its colours are premultiplied.

        Leaves the context's blend function at moderngl's default, which cannot be asked for what it was.
        """
        used = self.ctx.fbo
        target = target or used
        old_viewport = target.viewport
        with self.ctx.scope(target, moderngl.BLEND):
            target.use()
            self.ctx.blend_func = (moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA)
            target.viewport = place
            self._run("over", texture)
            target.viewport = old_viewport
            self.ctx.blend_func = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA)
        _use_again(used)

    def mix(self, older: moderngl.Texture, newer: moderngl.Texture, share: float) -> moderngl.Texture:
        """Blend two pictures of one size into a third: 0 is the older one, 1 the newer one."""
        used = self.ctx.fbo
        stage = self._stage("mix", older.size)
        with self.ctx.scope(stage, moderngl.NOTHING):
            stage.use()
            newer.use(1)
            self._run("mix", older, share=share, newer=1, top=0.0)
        _use_again(used)
        return _first(stage)

    def release(self) -> None:
        """Free programs and framebuffers. Calling it twice is fine."""
        for stage in self._stages.values():
            _first(stage).release()
            stage.release()
        for program, array in self._programs.values():
            array.release()
            program.release()
        self._stages, self._programs = {}, {}

    def _prepare(self, texture: moderngl.Texture, place: Rect) -> moderngl.Texture:
        """Do what happens below the screen's resolution; the result is drawn with one more filter."""
        width, height = texture.size
        if self.upscaler == "lanczos" and (place[2], place[3]) != texture.size:
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            stage = self._stage("across", (place[2], height))
            stage.use()
            self._run("lanczos", texture, along=(1.0, 0.0), linear_out=False, top=0.0)
            return _first(stage)
        if self.upscaler != "edge":
            return texture
        result = texture
        for doubling in range(DOUBLINGS):
            width, height = result.size
            if place[2] < width * 1.5 or max(width, height) * 2 > LARGEST_DOUBLED_PX:
                break
            stage = self._stage(f"double {doubling}", (width * 2, height * 2))
            stage.use()
            self._run("edge", result, top=0.0)
            result = _first(stage)
        if result is not texture and self.sharpness:
            stage = self._stage("sharp", result.size)
            stage.use()
            self._run("sharpen", result, strength=self.sharpness, top=0.0)
            result = _first(stage)
        return result

    def _run(self, kind: str, texture: moderngl.Texture, *, top: float = 1.0, **uniforms: object) -> None:
        program, array = self._program(kind)
        texture.use(0)
        settings = {"source": 0, "place": (-1.0, -1.0, 2.0, 2.0), "top": top, **uniforms}
        for name, value in settings.items():
            if name in program:
                program[name] = value
        array.render(moderngl.TRIANGLE_STRIP, vertices=4)

    def _program(self, kind: str) -> tuple[moderngl.Program, moderngl.VertexArray]:
        if kind not in self._programs:
            program = self.ctx.program(vertex_shader=shaders.VERTEX, fragment_shader=getattr(shaders, kind.upper()))
            self._programs[kind] = (program, self.ctx.vertex_array(program, []))
        return self._programs[kind]

    def _stage(self, name: str, size: tuple[int, int]) -> moderngl.Framebuffer:
        stage = self._stages.get(name)
        if stage is None or stage.size != size:
            if stage is not None:
                _first(stage).release()
                stage.release()
            texture = self.ctx.texture(size, 4)
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            texture.repeat_x = texture.repeat_y = False
            self._stages[name] = stage = self.ctx.framebuffer([texture])
        return stage


def _use_again(framebuffer: moderngl.Framebuffer | None) -> None:
    """Put back what was in use; nothing was in a fresh context, and what was released since cannot be."""
    if framebuffer is not None and not isinstance(framebuffer.mglo, moderngl.InvalidObject):
        framebuffer.use()


def _first(framebuffer: moderngl.Framebuffer) -> moderngl.Texture:
    texture = framebuffer.color_attachments[0]
    assert isinstance(texture, moderngl.Texture)
    return texture
