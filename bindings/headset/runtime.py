"""Runtime: from nothing to an OpenXR instance with a headset, or one clear line that says what is missing."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import xr

from inhabit.bridge.errors import InhabitError

CYLINDER = xr.KHR_COMPOSITION_LAYER_CYLINDER_EXTENSION_NAME
EQUIRECT = xr.KHR_COMPOSITION_LAYER_EQUIRECT2_EXTENSION_NAME
OPENGL = xr.KHR_OPENGL_ENABLE_EXTENSION_NAME
EGL = xr.MNDX_EGL_ENABLE_EXTENSION_NAME
WANTED = (OPENGL, EGL, CYLINDER, EQUIRECT)
API_VERSION = xr.Version(1, 0, 34)


class HeadsetError(InhabitError):
    """There is no headset to be had, or it was lost."""


class Runtime:
    """An instance of the OpenXR runtime that this machine has chosen, and its headset.

    Raises HeadsetError when there is no runtime, it does not answer, cannot do OpenGL, or has no headset.
    """

    def __init__(self) -> None:
        os.environ.setdefault("XR_LOADER_DEBUG", "none")  # we say it in one line, the loader in six
        offered = self._extensions()
        if OPENGL not in offered:
            raise HeadsetError("Expected an OpenXR runtime that takes OpenGL, got one without XR_KHR_opengl_enable")
        self.extensions = frozenset(name for name in WANTED if name in offered)
        about = xr.ApplicationInfo(
            application_name="Inhabit", application_version=1, engine_name="Inhabit", engine_version=1,
            api_version=API_VERSION,
        )  # fmt: skip
        wanted = xr.InstanceCreateInfo(enabled_extension_names=sorted(self.extensions), application_info=about)
        try:
            self.instance = xr.create_instance(wanted)
        except xr.XrException as error:
            raise HeadsetError(_no_instance(error)) from error
        try:
            self.system = xr.get_system(self.instance, xr.SystemGetInfo(form_factor=xr.FormFactor.HEAD_MOUNTED_DISPLAY))
        except xr.XrException as error:
            xr.destroy_instance(self.instance)
            raise HeadsetError(
                f"Expected a headset, got {_name(error)}: switch it on, connect it, then start again"
            ) from error
        self.name = xr.get_instance_properties(self.instance).runtime_name.decode()
        self.headset = xr.get_system_properties(self.instance, self.system).system_name.decode()

    def close(self) -> None:
        """Let the runtime go; one that is lost already is fine."""
        with contextlib.suppress(xr.XrException):
            xr.destroy_instance(self.instance)

    def _extensions(self) -> frozenset[str]:
        _check_manifest()
        try:
            offered = xr.enumerate_instance_extension_properties()
        except xr.XrException as error:
            raise HeadsetError(_no_instance(error)) from error
        return frozenset(one.extension_name.decode() for one in offered)


def _check_manifest() -> None:
    """A wrong XR_RUNTIME_JSON is the commonest mistake: name it before the loader mumbles."""
    said = os.environ.get("XR_RUNTIME_JSON")
    if not said:
        return
    try:
        library = json.loads(Path(said).read_text())["runtime"]["library_path"]
    except OSError as error:
        raise HeadsetError(f"Cannot read XR_RUNTIME_JSON={said}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HeadsetError(
            f"Expected an OpenXR runtime manifest, got something else - at XR_RUNTIME_JSON={said}"
        ) from error
    path = Path(said).parent / str(library)
    if "/" in str(library) and not path.exists():
        raise HeadsetError(f"Expected the OpenXR runtime {path}, got no such file: install it again - at {said}")


def _no_instance(error: xr.XrException) -> str:
    if isinstance(error, xr.RuntimeUnavailableError):
        return (
            "There is no OpenXR runtime: install one (SteamVR, Meta, Monado) and make it the active one, "
            "or name its manifest in XR_RUNTIME_JSON"
        )
    if isinstance(error, xr.RuntimeFailureError):
        return (
            f"The OpenXR runtime does not answer ({_name(error)}): start its service, such as monado-service or SteamVR"
        )
    return f"The OpenXR runtime refused: {_name(error)}"


def _name(error: xr.XrException) -> str:
    return type(error).__name__.removesuffix("Error")
