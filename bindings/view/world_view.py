"""WorldView: everything that an OpenGL program needs to show a world, in one object."""

from __future__ import annotations

import moderngl

from inhabit.bindings.view.blend import Blend
from inhabit.bindings.view.presenter import Presenter, Rect, Upscaler
from inhabit.bindings.view.stream import FrameStream
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.frames import Frame
from inhabit.bridge.pacing import Clock, monotonic_ns


class WorldView:
    """A world's newest frame, in your OpenGL context.

    Args:
        ctx: a moderngl context of OpenGL 3.3 or newer; use it in the thread that owns it.
        upscaler, sharpness: see Presenter.
        blend_hz: the world's rate, to fade between its frames at the display's rate; this adds one frame of latency.
            0 shows each frame at once.
        clock: monotonic, ns.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        *,
        upscaler: Upscaler = "edge",
        sharpness: float = 0.5,
        blend_hz: float = 0.0,
        clock: Clock = monotonic_ns,
    ):
        self.presenter = Presenter(ctx, upscaler=upscaler, sharpness=sharpness)
        self.frame: Frame | None = None
        self._clock = clock
        self._blend = Blend(self.presenter, blend_hz) if blend_hz else None
        self._stream = FrameStream(ctx)

    @property
    def added_latency_ms(self) -> float:
        """What blending adds, ms; 0 without it."""
        return self._blend.added_latency_ms if self._blend else 0.0

    @property
    def texture(self) -> moderngl.Texture:
        """What is to be seen now, at the world's size, v = 0 on top. LocalProtocolError before the first frame."""
        if self.frame is None:
            raise LocalProtocolError("Cannot use the texture before the first frame: call show() first")
        return self._blend.texture(self._clock()) if self._blend else self._stream.texture

    def show(self, frame: Frame) -> None:
        """Take a frame; the upload goes on behind the scenes."""
        self.frame = frame
        if self._blend:
            self._blend.show(frame.pixels, self._clock())
        else:
            self._stream.show(frame.pixels)

    def draw(
        self, target: moderngl.Framebuffer | None = None, *, room: Rect | None = None, linear_out: bool = False
    ) -> Rect | None:
        """Draw it, aspect-true, into `room` of the target; None draws into all of what is in use.

        Returns where the picture lies, or None while there is none.
        """
        if self.frame is None:
            return None
        return self.presenter.draw(self.texture, target, room=room, linear_out=linear_out)

    def release(self) -> None:
        """Free everything on the GPU. Calling it twice is fine."""
        self._stream.release()
        if self._blend:
            self._blend.release()
        self.presenter.release()
