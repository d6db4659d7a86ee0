"""The room that demos play in: boxes, a lamp, and a screen whose picture lights the walls. OpenGL 3.3, no engine."""

from __future__ import annotations

import itertools
import math

import moderngl
import numpy as np
import pygame

from inhabit.bindings.window.devices import Devices
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError

WALK_M_S, LOOK_PER_PX = 2.0, 0.003

VERTEX = """#version 330
uniform mat4 camera; in vec3 at; in vec3 normal; in vec3 paint; in vec2 uv;
out vec3 place; out vec3 facing; out vec3 colour; out vec2 spot;
void main() { place = at; facing = normal; colour = paint; spot = uv; gl_Position = camera * vec4(at, 1.0); }"""
FRAGMENT = """#version 330
uniform sampler2D world; in vec3 place; in vec3 facing; in vec3 colour; in vec2 spot; out vec4 seen;
vec3 linear(vec3 c) { return pow(c, vec3(2.2)); }
void main() {
    vec3 light;
    if (spot.x >= 0.0) {
        light = linear(texture(world, spot).rgb);
    } else {
        vec3 glow = linear(textureLod(world, vec2(0.5), 20.0).rgb), way = vec3(0.0, 1.5, -2.9) - place;
        float shine = max(dot(facing, normalize(way)), 0.0) * max(-way.z / length(way), 0.05) / (0.4 + dot(way, way));
        vec3 up = vec3(0.0, 2.9, 1.0) - place;
        float lamp = max(dot(facing, normalize(up)), 0.0) / (1.0 + dot(up, up));
        light = colour * (0.012 + 30.0 * shine * glow + 0.2 * lamp * vec3(1.0, 0.75, 0.5));
        if (facing.y > 0.9 && place.y < 0.01) light *= 0.75 + 0.25 * step(0.03, fract(place.x * 1.6));
    }
    seen = vec4(pow(light, vec3(1.0 / 2.2)), 1.0);
}"""
BOXES = [  # middle, half size, colour; the first is the room, seen from inside
    ((0, 1.5, 0), (3.2, 1.5, 3.2), (0.55, 0.5, 0.45)), ((0, 1.5, -3.08), (1.42, 1.08, 0.07), (0.03, 0.03, 0.035)),
    ((0, 0.15, -2.85), (1.7, 0.15, 0.3), (0.3, 0.16, 0.08)), ((0, 0.22, 0.9), (1.0, 0.22, 0.45), (0.14, 0.2, 0.3)),
    ((0, 0.55, 1.3), (1.0, 0.33, 0.12), (0.14, 0.2, 0.3)), ((-2.7, 0.9, -1.2), (0.35, 0.9, 0.6), (0.35, 0.2, 0.1)),
    ((2.75, 0.5, 0.4), (0.3, 0.5, 0.3), (0.5, 0.42, 0.2)),
]  # fmt: skip


def mesh() -> np.ndarray:
    """All boxes and the screen as triangles: position, normal, colour, and uv (-1 where the world is not shown)."""
    rows = []
    for number, (middle, half, paint) in enumerate(BOXES):
        for axis, side in itertools.product(range(3), (-1, 1)):
            across, up = (axis + 1) % 3, (axis + 2) % 3
            normal = np.zeros(3)
            normal[axis] = -side if number == 0 else side
            for a, b in ((-1, -1), (1, -1), (-1, 1), (-1, 1), (1, -1), (1, 1)):
                at = np.zeros(3)
                at[[axis, across, up]] = side, a, b
                rows.append([*(middle + at * half), *normal, *paint, -1, -1])
    for u, v in ((0, 0), (1, 0), (0, 1), (0, 1), (1, 0), (1, 1)):  # v = 0 is the top of a frame
        rows.append([(u - 0.5) * 2.66, 1.5 + (0.5 - v) * 2.0, -3.0, 0, 0, 1, 0, 0, 0, u, v])
    return np.array(rows, "f4")


class Walker:
    """Somebody in the room: where, and which way they look, to the right and up, radians."""

    def __init__(self, at: tuple[float, float, float] | np.ndarray = (0.0, 1.6, 2.2), *, yaw: float = 0.0, pitch=0.0):
        self.at, self.yaw, self.pitch = np.asarray(at, float), yaw, pitch

    def move(self, controls: Controls, seconds: float, nearest_m: float = 0.8) -> None:
        """Walk as far as the walls, and as near to the screen as that."""
        self.yaw += controls.mouse_dx * LOOK_PER_PX
        self.pitch = max(-1.4, min(1.4, self.pitch - controls.mouse_dy * LOOK_PER_PX))
        ahead = ("KeyW" in controls.held) - ("KeyS" in controls.held)
        aside = ("KeyD" in controls.held) - ("KeyA" in controls.held)
        way = np.array([math.sin(self.yaw), 0, -math.cos(self.yaw)]) * ahead
        way += np.array([math.cos(self.yaw), 0, math.sin(self.yaw)]) * aside
        self.at = np.clip(self.at + way * WALK_M_S * seconds, (-2.9, 0, nearest_m - 3.0), (2.9, 3, 2.9))

    def camera(self, aspect: float) -> bytes:
        """The matrix from the room to the picture."""
        near, far, focal = 0.05, 20.0, 1.3
        across = np.array([math.cos(self.yaw), 0, math.sin(self.yaw)])
        level = math.cos(self.pitch)
        ahead = np.array([math.sin(self.yaw) * level, math.sin(self.pitch), -math.cos(self.yaw) * level])
        look = np.eye(4)
        look[:3, :3] = across, np.cross(across, ahead), -ahead
        look[:3, 3] = -look[:3, :3] @ self.at
        depth = [0, 0, (far + near) / (near - far), 2 * far * near / (near - far)]
        lens = np.array([[focal / aspect, 0, 0, 0], [0, focal, 0, 0], depth, [0, 0, -1, 0]])
        return (lens @ look).T.astype("f4").tobytes()


class Hands(Devices):
    """Keyboard, mouse and gamepads of a window; Tab and Escape are kept from the world."""

    def __init__(self) -> None:
        super().__init__()
        self.captured, self.window_keys = True, frozenset({"Tab", "Escape"})

    def hear(self) -> set[str]:
        """Take in what happened. Returns which of the kept keys went down; closing the window is Escape."""
        return {"Escape" if event.type == pygame.QUIT else self.handle(event) for event in pygame.event.get()}


def open_window(size: tuple[int, int]) -> moderngl.Context:
    """Open a pygame window that OpenGL draws into, with the mouse kept in it."""
    pygame.display.init()
    for name, value in (("CONTEXT_MAJOR_VERSION", 3), ("CONTEXT_MINOR_VERSION", 3), ("CONTEXT_PROFILE_MASK", 1)):
        pygame.display.gl_set_attribute(getattr(pygame, f"GL_{name}"), value)
    pygame.display.gl_set_attribute(pygame.GL_DEPTH_SIZE, 24)
    try:
        pygame.display.set_mode(size, pygame.OPENGL | pygame.DOUBLEBUF)
        ctx = moderngl.create_context(require=330)
    except Exception as error:  # glcontext raises plain Exception
        raise InhabitError(f"Expected a window with OpenGL 3.3, got: {error}; --headless needs none") from error
    pygame.mouse.set_relative_mode(True)
    return ctx


class Room:
    """The scene. It knows nothing of worlds but the texture that it is given."""

    def __init__(self, ctx: moderngl.Context):
        self._ctx, self._program = ctx, ctx.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        parts = (ctx.buffer(mesh()), "3f 3f 3f 2f", "at", "normal", "paint", "uv")
        self._array = ctx.vertex_array(self._program, [parts])

    def draw(self, target: moderngl.Framebuffer, texture: moderngl.Texture, matrix: bytes) -> None:
        target.use()
        self._ctx.enable_only(moderngl.DEPTH_TEST)
        target.clear()
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        texture.use(0)
        self._program["camera"].write(matrix)  # type: ignore[union-attr]
        self._array.render()
