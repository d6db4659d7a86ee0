"""Graphics: an OpenGL context that the runtime can share, its binding, and swapchains that moderngl can draw into."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from ctypes import POINTER, byref, c_int32, c_void_p, cast, pointer
from typing import Any

import moderngl
import xr

from inhabit.bindings.headset.runtime import EGL, HeadsetError, Runtime
from inhabit.bindings.view.context import GL_VERSION, headless_context

if sys.platform == "win32":
    from xr.platform import windows as platform
else:
    from xr.platform import linux as platform

GL_RGBA8, GL_SRGB8_ALPHA8 = 0x8058, 0x8C43
EGL_CONFIG_ID, EGL_NONE = 0x3028, 0x3038
SWAPCHAIN_WAIT_NS: Any = 1_000_000_000


def make_context(runtime: Runtime) -> moderngl.Context:
    """Make an OpenGL context without a window, of the kind that this runtime takes. Raises InhabitError without one."""
    if EGL in runtime.extensions:
        return headless_context()
    try:
        return moderngl.create_context(standalone=True, require=GL_VERSION)
    except Exception as error:  # glcontext raises plain Exception
        raise HeadsetError(
            f"Expected OpenGL for {runtime.name}, got: {error}; it may need a display (DISPLAY)"
        ) from error


def binding(runtime: Runtime) -> Any:
    """Describe the OpenGL context that is current in this thread to the runtime."""
    requirements = platform.GraphicsRequirementsOpenGLKHR()
    ask = cast(
        xr.get_instance_proc_addr(runtime.instance, "xrGetOpenGLGraphicsRequirementsKHR"),
        platform.PFN_xrGetOpenGLGraphicsRequirementsKHR,
    )
    ask(runtime.instance, runtime.system, byref(requirements))  # has to be asked before a session is made
    if sys.platform == "win32":
        return _wgl()
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetCurrentContext.restype = egl.eglGetCurrentDisplay.restype = c_void_p
    if egl.eglGetCurrentContext():
        if EGL not in runtime.extensions:
            raise HeadsetError(f"Expected a runtime that takes EGL contexts, got {runtime.name}: draw in an X11 window")
        return _egl(egl)
    return _glx()


def _egl(egl: ctypes.CDLL) -> Any:
    egl.eglQueryContext.argtypes = [c_void_p, c_void_p, c_int32, POINTER(c_int32)]
    egl.eglChooseConfig.argtypes = [c_void_p, POINTER(c_int32), POINTER(c_void_p), c_int32, POINTER(c_int32)]
    display, context = egl.eglGetCurrentDisplay(), egl.eglGetCurrentContext()
    number, found, config = c_int32(), c_int32(), c_void_p()
    egl.eglQueryContext(display, context, EGL_CONFIG_ID, byref(number))
    if number.value:
        wanted = (c_int32 * 3)(EGL_CONFIG_ID, number.value, EGL_NONE)
        egl.eglChooseConfig(display, wanted, byref(config), 1, byref(found))
    return _filled(
        platform.GraphicsBindingEGLMNDX(),
        get_proc_address=cast(egl.eglGetProcAddress, c_void_p).value,
        display=display,
        context=context,
        config=config.value,
    )


def _glx() -> Any:
    gl = ctypes.CDLL("libGL.so.1")
    gl.glXGetCurrentDisplay.restype = gl.glXGetCurrentContext.restype = c_void_p
    gl.glXGetCurrentDrawable.restype = ctypes.c_ulong
    if not gl.glXGetCurrentContext():
        raise HeadsetError("Expected an OpenGL context that is current in this thread, got none")
    bound = _filled(
        platform.GraphicsBindingOpenGLXlibKHR(),
        x_display=gl.glXGetCurrentDisplay(),
        glx_context=gl.glXGetCurrentContext(),
    )
    bound.glx_drawable = gl.glXGetCurrentDrawable()
    return bound


def _wgl() -> Any:
    gl = ctypes.WinDLL("opengl32")  # type: ignore[attr-defined]
    gl.wglGetCurrentDC.restype = gl.wglGetCurrentContext.restype = c_void_p
    bound = getattr(platform, "GraphicsBindingOpenGLWin32KHR")()  # noqa: B009 - only Windows has it
    bound.h_dc, bound.h_glrc = gl.wglGetCurrentDC(), gl.wglGetCurrentContext()
    return bound


def _filled(structure: Any, **handles: int | None) -> Any:
    kinds = dict(structure._fields_)
    for name, value in handles.items():
        setattr(structure, name, cast(c_void_p(value), kinds[name]))
    return structure


def make_session(runtime: Runtime) -> xr.Session:
    """Begin a session on the OpenGL context that is current. Raises HeadsetError when the runtime refuses."""
    bound = binding(runtime)
    wanted = xr.SessionCreateInfo(system_id=runtime.system)
    wanted.next = cast(pointer(bound), c_void_p)
    try:
        return xr.create_session(runtime.instance, wanted)
    except xr.XrException as error:
        raise HeadsetError(f"{runtime.name} refused a session: {type(error).__name__.removesuffix('Error')}") from error


class Chain:
    """A swapchain whose pictures moderngl draws into. What was drawn last may be submitted again and again."""

    def __init__(self, ctx: moderngl.Context, session: xr.Session, size: tuple[int, int]):
        formats = list(xr.enumerate_swapchain_formats(session))
        known = [wanted for wanted in (GL_SRGB8_ALPHA8, GL_RGBA8) if wanted in formats]
        if not known:
            raise HeadsetError(f"Expected swapchains of RGBA8, got formats {[hex(one) for one in formats]}")
        self.size = size
        self.linear = known[0] == GL_RGBA8
        """True when the runtime takes its bytes for linear light."""

        self.drawn = False
        usage = xr.SwapchainUsageFlags
        self._swapchain = xr.create_swapchain(
            session,
            xr.SwapchainCreateInfo(
                usage_flags=usage.SAMPLED_BIT | usage.COLOR_ATTACHMENT_BIT, format=known[0], sample_count=1,
                width=size[0], height=size[1], face_count=1, array_size=1, mip_count=1,
            ),
        )  # fmt: skip
        images = xr.enumerate_swapchain_images(self._swapchain, platform.SwapchainImageOpenGLKHR)
        self._targets = [ctx.framebuffer([ctx.external_texture(one.image, size, 4, 0, "f1")]) for one in images]
        self._held = False

    def begin(self) -> moderngl.Framebuffer:
        """Take the next picture to draw into."""
        number = xr.acquire_swapchain_image(self._swapchain, xr.SwapchainImageAcquireInfo())
        self._held = True
        xr.wait_swapchain_image(self._swapchain, xr.SwapchainImageWaitInfo(timeout=SWAPCHAIN_WAIT_NS))
        target = self._targets[number]
        target.viewport = (0, 0, *self.size)
        return target

    def end(self) -> None:
        """Hand it to the runtime."""
        self._held = False
        xr.release_swapchain_image(self._swapchain, xr.SwapchainImageReleaseInfo())
        self.drawn = True

    @property
    def part(self) -> xr.SwapchainSubImage:
        """All of the picture, for a layer."""
        whole = xr.Rect2Di(offset=xr.Offset2Di(0, 0), extent=xr.Extent2Di(*self.size))
        return xr.SwapchainSubImage(swapchain=self._swapchain, image_rect=whole, image_array_index=0)

    def close(self) -> None:
        """Give it back; a runtime that is lost has it already."""
        with contextlib.suppress(xr.XrException):
            if self._held:
                self.end()
            xr.destroy_swapchain(self._swapchain)
