"""Actions: controllers as OpenXR action sets, read into the names that Controls has."""

from __future__ import annotations

import ctypes
from types import MappingProxyType
from typing import Any

import xr

from inhabit.bindings.headset.geometry import Pose
from inhabit.bindings.input.tables import LEFT, RIGHT, XR_ACTIONS, XR_PROFILES, XrAction
from inhabit.bridge.controls import BUTTONS, STICK_PRESS, Controls

KINDS = {
    "boolean": xr.ActionType.BOOLEAN_INPUT,
    "float": xr.ActionType.FLOAT_INPUT,
    "stick": xr.ActionType.VECTOR2F_INPUT,
    "pose": xr.ActionType.POSE_INPUT,
    "haptic": xr.ActionType.VIBRATION_OUTPUT,
}
PULSE_NS: Any = 30_000_000


class Actions:
    """Every controller of a session. One that is asleep presses nothing."""

    def __init__(self, instance: xr.Instance, session: xr.Session):
        self._instance, self._session = instance, session
        self._set = xr.create_action_set(
            instance,
            xr.ActionSetCreateInfo(action_set_name="world", localized_action_set_name="World", priority=0),
        )
        self._actions: dict[str, Any] = {action.name: self._create(action) for action in XR_ACTIONS}
        for profile in XR_PROFILES:
            self._suggest(profile)
        attached = xr.SessionActionSetsAttachInfo(action_sets=(xr.ActionSet * 1)(self._set))
        xr.attach_session_action_sets(session, attached)
        self._spaces = {
            action.name: xr.create_action_space(session, xr.ActionSpaceCreateInfo(action=self._actions[action.name]))
            for action in XR_ACTIONS
            if action.kind == "pose"
        }
        self._held: frozenset[str] = frozenset()

    def read(self) -> Controls:
        """What the controllers say now: held, newly pressed and axes. Nothing while another app has the focus."""
        active = xr.ActiveActionSet(action_set=self._set)
        xr.sync_actions(self._session, xr.ActionsSyncInfo(active_action_sets=(xr.ActiveActionSet * 1)(active)))
        held = set[str]()
        axes: dict[str, float] = {}
        for action in XR_ACTIONS:
            values = self._values(action)
            for name, value in zip(action.controls, values, strict=False):
                if name in BUTTONS:
                    if value >= STICK_PRESS:
                        held.add(name)
                elif value:
                    axes[name[1:]] = value if name[0] == "+" else -value
        pressed, self._held = frozenset(held) - self._held, frozenset(held)
        return Controls(held=self._held, pressed=pressed, axes=MappingProxyType(axes))

    def release(self) -> Controls:
        """Nothing is held: another app has the controllers."""
        self._held = frozenset()
        return Controls()

    def hand(self, name: str, space: xr.Space, time: Any) -> Pose | None:
        """Where "left_hand" or "right_hand" points from, in a space; None while it is not tracked."""
        found = xr.locate_space(self._spaces[name], space, time)
        wanted = xr.SpaceLocationFlags.POSITION_VALID_BIT | xr.SpaceLocationFlags.ORIENTATION_VALID_BIT
        return to_pose(found.pose) if found.location_flags & wanted == wanted else None

    def pulse(self, name: str, strength: float = 0.5) -> None:
        """Let "left_pulse" or "right_pulse" be felt for a moment, 0 to 1."""
        buzz = xr.HapticVibration(duration=PULSE_NS, frequency=0.0, amplitude=strength)
        xr.apply_haptic_feedback(self._session, xr.HapticActionInfo(action=self._actions[name]), _header(buzz))

    @property
    def profiles(self) -> dict[str, str]:
        """The interaction profile that each hand's controller goes by; "" for a hand without one."""
        profiles = {}
        for hand in (LEFT, RIGHT):
            path = xr.string_to_path(self._instance, hand)
            found = xr.get_current_interaction_profile(self._session, path).interaction_profile
            profiles[hand] = xr.path_to_string(self._instance, found) if found else ""
        return profiles

    def _create(self, action: XrAction) -> Any:
        return xr.create_action(
            self._set,
            xr.ActionCreateInfo(
                action_name=action.name, action_type=KINDS[action.kind], localized_action_name=action.title
            ),
        )

    def _suggest(self, profile: str) -> None:
        found = [
            xr.ActionSuggestedBinding(
                action=self._actions[action.name], binding=xr.string_to_path(self._instance, path)
            )
            for action in XR_ACTIONS
            for of, path in action.bindings
            if of == profile
        ]
        xr.suggest_interaction_profile_bindings(
            self._instance,
            xr.InteractionProfileSuggestedBinding(
                interaction_profile=xr.string_to_path(self._instance, profile),
                suggested_bindings=(xr.ActionSuggestedBinding * len(found))(*found),
            ),
        )

    def _values(self, action: XrAction) -> tuple[float, ...]:
        asked = xr.ActionStateGetInfo(action=self._actions[action.name])
        match action.kind:
            case "boolean":
                state = xr.get_action_state_boolean(self._session, asked)
                return (float(state.current_state),) if state.is_active else ()
            case "float":
                state = xr.get_action_state_float(self._session, asked)
                return (float(state.current_state),) if state.is_active else ()
            case "stick":
                state = xr.get_action_state_vector2f(self._session, asked)
                return (float(state.current_state.x), float(state.current_state.y)) if state.is_active else ()
        return ()


def to_pose(pose: Any) -> Pose:
    """Read an XrPosef."""
    q, p = pose.orientation, pose.position
    return Pose((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))


def from_pose(pose: Pose) -> xr.Posef:
    """Write an XrPosef."""
    return xr.Posef(orientation=xr.Quaternionf(*pose.orientation), position=xr.Vector3f(*pose.position))


def _header(buzz: Any) -> Any:
    return ctypes.cast(ctypes.pointer(buzz), ctypes.POINTER(xr.HapticBaseHeader)).contents
