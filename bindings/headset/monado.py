"""Monado, an open OpenXR runtime, started for a program of one's own: no headset and no screen needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from inhabit.bindings.headset.runtime import HeadsetError

VERSION = "25.0.0"
START_S = 30.0
SIMULATED: Mapping[str, str] = {"SIMULATED_ENABLE": "1", "SIMULATED_LEFT": "simple", "SIMULATED_RIGHT": "simple"}
"""A head that wobbles, and two hands that hold still."""


def monado_folder() -> Path:
    """Where scripts/monado builds it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("INHABIT_MONADO") or cache / "inhabit" / f"monado-{VERSION}")


def monado_missing() -> str:
    """Why there is no Monado here; "" when there is."""
    service = monado_folder() / "bin" / "monado-service"
    return "" if service.is_file() else f"Monado is not at {monado_folder()}: run scripts/monado"


class Monado:
    """A service with a folder of its own, so that it meets no other one.

    Args:
        display: an X display to compose on, such as ":1"; "" takes the one that shows nothing, 20 times a second.
        devices: its head and hands, as variables of its environment.
        config: its configuration file.

    Raises HeadsetError when it is not here or does not start.
    """

    def __init__(self, *, display: str = "", devices: Mapping[str, str] = SIMULATED, config: str = ""):
        if reason := monado_missing():
            raise HeadsetError(reason)
        self._home = Path(tempfile.mkdtemp(prefix="inhabit-monado-"))
        run = self._home / "run"
        run.mkdir(mode=0o700)
        if config:
            (self._home / "monado").mkdir()
            (self._home / "monado" / "config_v0.json").write_text(config)
        self.environment: Mapping[str, str] = {
            "XDG_RUNTIME_DIR": str(run),
            "XR_RUNTIME_JSON": str(monado_folder() / "share" / "openxr" / "1" / "openxr_monado.json"),
            "OXR_NO_PRINTING": "1",
        }
        """What an OpenXR program needs in its environment to find this service."""

        own = {"HOME": str(self._home), "XDG_CONFIG_HOME": str(self._home), "XRT_NO_STDIN": "1", **devices}
        if display:
            own |= {"DISPLAY": display, "XRT_COMPOSITOR_FORCE_XCB": "1", "XRT_COMPOSITOR_SCALE_PERCENTAGE": "50"}
        else:
            own["XRT_COMPOSITOR_NULL"] = "1"
        self._log = self._home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [monado_folder() / "bin" / "monado-service"], env={**os.environ, **self.environment, **own}, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._wait(run / "monado_comp_ipc")

    def close(self) -> None:
        """End it and remove what it left. Calling it twice is fine."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)

    def _wait(self, socket_path: Path) -> None:
        until = time.monotonic() + START_S
        while not socket_path.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                log = self._log.read_text(errors="replace")[-1000:]
                self.close()
                raise HeadsetError(f"Monado did not start: {log}")
            time.sleep(0.05)
        time.sleep(0.3)  # it listens a moment after the socket is there

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
