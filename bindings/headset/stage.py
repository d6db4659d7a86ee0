"""Stage: a world's newest picture as layers of a frame: on a screen, as a dome, or around the head.

One shader asks for every ray that leaves an eye what it meets. It draws the eyes of a projection layer, and the
equirect picture that a runtime with such layers reprojects by itself. A runtime's own layers are drawn once for each
frame of the world; between two of them the same picture is submitted again, so a world that stops costs nothing and
stops nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import moderngl
import numpy as np
import xr

from inhabit.bindings.headset.actions import from_pose
from inhabit.bindings.headset.geometry import Pose, turned
from inhabit.bindings.headset.graphics import Chain
from inhabit.bindings.headset.headset import Eye, Headset, Moment
from inhabit.bindings.headset.runtime import CYLINDER, EQUIRECT
from inhabit.bindings.headset.shaders import RAYS, WHOLE
from inhabit.bindings.view import FrameStream, Presenter, read_pixels

SCREEN_PX = 1280
"""Width of the picture on a screen layer, pixels."""

SPAN_DEG = (200.0, 140.0)
"""How much of the surroundings an equirect layer covers: the picture, and what it fades into."""

EQUIRECT_PX = (1024, 716)
FAR_M = 100.0
GREY = (0.02, 0.022, 0.028)


class Stage:
    """Draws pictures for a headset."""

    def __init__(self, headset: Headset):
        self._headset, self._options = headset, headset.options
        self._ctx = headset.ctx
        self._stream = FrameStream(self._ctx)
        self._presenter = Presenter(self._ctx, upscaler=self._options.upscaler)
        self._program = self._ctx.program(vertex_shader=WHOLE, fragment_shader=RAYS)
        self._array = self._ctx.vertex_array(self._program, [])
        self._picture: moderngl.Texture | None = None
        self._layer: Chain | None = None
        self._eyes: list[Chain] = []
        self._fresh = False
        self.keep = False
        """Copy what each eye is drawn into `kept`: slow, for pictures of what is seen."""

        self.kept: list[np.ndarray] = []
        """What each eye saw last, (height, width, 3) uint8 RGB; only of a projection layer."""

        self.vignette = 0.0
        """How dark the edge of the view is now, 0 to 1."""

    @property
    def kind(self) -> str:
        """What is submitted: cylinder, quad, equirect or projection."""
        offered, options = self._headset.runtime.extensions, self._options
        if options.layers == "projection" or options.vignette > 0:
            return "projection"
        if options.mode == "screen":
            if not options.curved:
                return "quad"
            return "cylinder" if CYLINDER in offered else "projection"
        return "equirect" if EQUIRECT in offered else "projection"

    def show(self, pixels: np.ndarray) -> None:
        """Take a frame, (height, width, 3) uint8 RGB."""
        texture = self._stream.show(pixels)
        large = self._presenter.enlarge(texture, (SCREEN_PX, SCREEN_PX))
        large.build_mipmaps()
        large.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        large.repeat_x = large.repeat_y = False
        self._picture, self._fresh = large, True

    def layers(self, moment: Moment, centre: Pose, picture_deg: tuple[float, float]) -> Sequence[Any]:
        """What to submit for a moment.

        Args:
            centre: where the viewer's place is, and which way is ahead: what recentring sets.
            picture_deg: where the newest picture belongs when the head looks around in it: yaw and pitch in the room.
        """
        if self._picture is None:
            return ()
        match self.kind:
            case "cylinder" | "quad":
                self._draw_screen()
                return (self._screen_layer(centre),)
            case "equirect":
                self._draw_equirect()
                return (self._equirect_layer(moment, picture_deg),)
        return self._projection(moment, centre, picture_deg)

    def release(self) -> None:
        """Free what is on the GPU; swapchains end with their session."""
        self._stream.release()
        self._presenter.release()
        self._array.release()
        self._program.release()

    @property
    def _aspect(self) -> float:
        width, height = self._stream.texture.size
        return width / height

    @property
    def _screen_m(self) -> tuple[float, float, float]:
        """Width, height and distance of the screen, m."""
        scale = self._options.world_scale
        width = self._options.screen_width_m * scale
        return width, width / self._aspect, self._options.screen_distance_m * scale

    def _chain_for(self, size: tuple[int, int]) -> Chain:
        if self._layer is None or self._layer.size != size:
            self._layer = self._headset.chain(size)
        return self._layer

    def _draw_screen(self) -> None:
        chain = self._chain_for((SCREEN_PX, max(1, round(SCREEN_PX / self._aspect))))
        if self._fresh or not chain.drawn:
            target = chain.begin()
            assert self._picture is not None
            self._presenter.draw(self._stream.texture, target, linear_out=chain.linear)
            self._finish(chain)

    def _draw_equirect(self) -> None:
        chain = self._chain_for(EQUIRECT_PX)
        if self._fresh or not chain.drawn:
            span = np.radians(SPAN_DEG) / 2
            self._rays(chain, tangents=(-span[0], span[0], span[1], -span[1]), sphere=True, turn=np.eye(3))
            self._finish(chain)

    def _finish(self, chain: Chain) -> None:
        self._ctx.finish()  # a runtime in another process may look at it at once
        chain.end()
        self._fresh = False

    def _screen_layer(self, centre: Pose) -> Any:
        assert self._layer is not None
        width, height, distance = self._screen_m
        if self.kind == "quad":
            ahead = centre.matrix @ (0.0, 0.0, -distance)
            pose = Pose(centre.orientation, tuple(np.add(centre.position, ahead)))
            return xr.CompositionLayerQuad(
                space=self._headset.local, eye_visibility=xr.EyeVisibility.BOTH, sub_image=self._layer.part,
                pose=from_pose(pose), size=xr.Extent2Df(width, height),
            )  # fmt: skip
        return xr.CompositionLayerCylinderKHR(
            space=self._headset.local, eye_visibility=xr.EyeVisibility.BOTH, sub_image=self._layer.part,
            pose=from_pose(centre), radius=distance, central_angle=min(width / distance, 2 * math.pi),
            aspect_ratio=width / height,
        )  # fmt: skip

    def _equirect_layer(self, moment: Moment, picture_deg: tuple[float, float]) -> Any:
        assert self._layer is not None
        headlocked = self._options.mode == "dome"
        space = self._headset.view if headlocked else self._headset.local
        pose = Pose() if headlocked else Pose(turned(*picture_deg), moment.head.position)
        span = np.radians(SPAN_DEG)
        return xr.CompositionLayerEquirect2KHR(
            space=space, eye_visibility=xr.EyeVisibility.BOTH, sub_image=self._layer.part, pose=from_pose(pose),
            radius=FAR_M, central_horizontal_angle=span[0], upper_vertical_angle=span[1] / 2,
            lower_vertical_angle=-span[1] / 2,
        )  # fmt: skip

    def _projection(self, moment: Moment, centre: Pose, picture_deg: tuple[float, float]) -> Sequence[Any]:
        if not self._eyes:
            self._eyes = [self._headset.chain(size) for size in self._headset.eye_sizes]
        if self.keep:
            self.kept = []
        views = (xr.CompositionLayerProjectionView * len(moment.eyes))()
        for number, (eye, chain) in enumerate(zip(moment.eyes, self._eyes, strict=True)):
            if moment.visible or not chain.drawn:
                turn, place = self._seen_from(eye, moment.head, centre, picture_deg)
                target = self._rays(chain, tangents=np.tan(eye.fov), turn=turn, eye=place)
                if self.keep:
                    self.kept.append(read_pixels(target))
                self._ctx.finish()
                chain.end()
            views[number] = xr.CompositionLayerProjectionView(
                pose=from_pose(eye.pose), fov=xr.Fovf(*eye.fov), sub_image=chain.part
            )
        self._fresh = False
        return (xr.CompositionLayerProjection(space=self._headset.local, views=views),)

    def _seen_from(
        self, eye: Eye, head: Pose, centre: Pose, picture_deg: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rotation from an eye to the picture's axes, and where the eye is in them, m."""
        if self._options.mode == "screen":
            inverse = centre.matrix.T
            return inverse @ eye.pose.matrix, inverse @ np.subtract(eye.pose.position, centre.position)
        base = head.matrix if self._options.mode == "dome" else Pose(turned(*picture_deg)).matrix
        return base.T @ eye.pose.matrix, np.zeros(3)

    def _rays(
        self, chain: Chain, *, tangents: Any, turn: np.ndarray, eye: Any = (0.0, 0.0, 0.0), sphere: bool = False
    ) -> moderngl.Framebuffer:
        """Draw what every ray meets into the next picture of a chain, and return that; the caller ends it."""
        target = chain.begin()
        width, height, distance = self._screen_m
        half = math.tan(math.radians(self._options.fov_deg) / 2)
        screen = self._options.mode == "screen"
        settings = {
            "picture": 0, "tangents": tuple(map(float, tangents)), "sphere": sphere, "eye": tuple(map(float, eye)),
            "screen": screen, "curved": self._options.curved, "size": (width, height, distance),
            "half_tan": (half, half / self._aspect), "ground": GREY, "vignette": self.vignette,
            "linear_out": chain.linear,
        }  # fmt: skip
        with self._ctx.scope(target, moderngl.NOTHING):
            target.use()
            assert self._picture is not None
            self._picture.use(0)
            for name, value in settings.items():
                self._program[name] = value
            self._program["turn"].write(np.ascontiguousarray(turn.T, "f4"))  # type: ignore[union-attr]
            self._array.render(moderngl.TRIANGLE_STRIP, vertices=4)
        return target
