"""One's own keys: the world must do what the person's map says, whatever the world's own map is."""

import re
from types import MappingProxyType

import msgspec.structs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhabit.bindings.input import Keys, Remap, load_keys
from inhabit.bindings.input.keys_file import Entry, default_keys_path
from inhabit.bridge.controls import BUTTONS, PAD_AXES, ActionMap, ActionSource, Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.world import WorldInfo

NAMES = ("KeyA", "KeyD", "KeyF", "KeyJ", "KeyL", "Space", "PadA", "Mouse0")
WAYS = ("+x", "-x", "+y", "-y")
WALK = ActionSource(name="WALK", kind="axis", keys=("KeyW",), keys_back=("KeyS",), pad=("-PadLY",), mouse="-y")
TURN = ActionSource(name="TURN", kind="axis", keys=("KeyE",), keys_back=("KeyQ",), pad=("+PadRX",), mouse="+x")
JUMP = ActionSource(name="JUMP", keys=("Space", "PadA"))
FIRE = ActionSource(name="FIRE", keys=("Mouse0",), pad=("+PadRT",))
LEFT = ActionSource(name="LEFT", keys=("ArrowLeft",), pad=("-PadLX",), mouse="-x")
RIGHT = ActionSource(name="RIGHT", keys=("ArrowRight",), pad=("+PadLX",), mouse="+x")


def world(*sources):
    return WorldInfo(name="w", width=64, height=48, rate_hz=20, actions=ActionMap(sources=sources))


def remap(info, **entries):
    return Remap(info, Keys(path="keys.toml", worlds={info.name: entries}))


def acts(mapping, info, controls):
    """What the world does with what it is told."""
    return dict(zip(info.actions.names, info.actions.action(mapping.translate(controls)).tolist()))


def held(*names, **axes):
    return Controls(held=frozenset(names), axes=MappingProxyType(axes))


@st.composite
def own_keys(draw):
    """Entries for all five actions that use no name twice."""
    names = draw(st.permutations(NAMES))
    axes = draw(st.permutations([sign + axis for axis in PAD_AXES for sign in "+-"]))
    ways = draw(st.permutations(WAYS))
    return {
        "WALK": Entry(keys=tuple(names[:1]), keys_back=tuple(names[1:2]), pad=tuple(axes[:1]), mouse=ways[0]),
        "TURN": Entry(keys=tuple(names[2:3]), keys_back=tuple(names[3:4]), pad=tuple(axes[1:2]), mouse=ways[1]),
        "JUMP": Entry(keys=tuple(names[4:6]), pad=tuple(axes[2:3])),
        "FIRE": Entry(keys=tuple(names[6:8]), pad=tuple(axes[3 : 3 + draw(st.integers(0, 2))])),
    }


snapshots = st.builds(
    Controls,
    held=st.frozensets(st.sampled_from(sorted(BUTTONS)), max_size=12) | st.frozensets(st.sampled_from(NAMES)),
    pressed=st.frozensets(st.sampled_from(NAMES)),
    axes=st.dictionaries(st.sampled_from(PAD_AXES), st.floats(-1, 1)),
    mouse_dx=st.floats(-50, 50),
    mouse_dy=st.floats(-50, 50),
)


@settings(deadline=None, max_examples=300)
@given(entries=own_keys(), controls=snapshots)
def test_the_world_does_what_the_persons_own_map_says(entries, controls):
    info = world(WALK, TURN, JUMP, FIRE)
    mapping = remap(info, **entries)
    assert mapping.actions.names == info.actions.names
    expected = mapping.actions.action(controls)
    assert info.actions.action(mapping.translate(controls)) == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(controls=snapshots)
def test_without_a_file_nothing_changes(controls):
    assert Remap(world(WALK, TURN), Keys()).translate(controls) is controls


@settings(deadline=None)
@given(controls=snapshots)
def test_swapped_on_off_actions_swap_also_with_mouse_and_stick(controls):
    info = world(LEFT, RIGHT)
    mapping = remap(
        info, LEFT=Entry(keys=("ArrowRight",), pad=("+PadLX",), mouse="+x"),
        RIGHT=Entry(keys=("ArrowLeft",), pad=("-PadLX",), mouse="-x"),
    )  # fmt: skip
    left, right = info.actions.action(controls)
    assert acts(mapping, info, controls) == {"LEFT": right, "RIGHT": left}


def test_a_key_taken_by_one_action_leaves_the_other():
    info = world(JUMP, FIRE)
    mapping = remap(info, FIRE=Entry(keys=("Space",), listed=True))
    assert acts(mapping, info, held("Space")) == {"JUMP": 0.0, "FIRE": 1.0}
    assert acts(mapping, info, held("PadA")) == {"JUMP": 1.0, "FIRE": 0.0}
    assert acts(mapping, info, held("Mouse0", PadRT=1.0)) == {"JUMP": 0.0, "FIRE": 0.0}


def test_a_tap_stays_a_tap():
    mapping = remap(world(JUMP, FIRE), FIRE=Entry(keys=("KeyF",)))
    told = mapping.translate(Controls(pressed=frozenset({"KeyF"})))
    assert (told.held, told.pressed) == (frozenset(), {"Mouse0"})


def test_a_stick_may_press_and_keys_may_push():
    info = world(WALK, JUMP)
    mapping = remap(info, WALK=Entry(keys=("KeyI",), keys_back=("KeyK",), pad=("+PadRX",)), JUMP=Entry(pad=("-PadLY",)))
    assert acts(mapping, info, held(PadLY=-0.6)) == {"WALK": 0.0, "JUMP": 1.0}
    assert acts(mapping, info, held("KeyK", PadRX=0.5)) == {"WALK": -0.5, "JUMP": 0.0}


def test_the_mouse_may_be_slower_and_the_rest_is_left_alone():
    mapping = Remap(world(TURN), Keys(mouse_scale=0.5))
    told = mapping.translate(Controls(held=frozenset({"KeyE"}), mouse_dx=8.0, mouse_dy=2.0))
    assert (told.held, told.mouse_dx, told.mouse_dy) == ({"KeyE"}, 4.0, 1.0)


def test_an_agents_action_passes():
    mapping = remap(world(JUMP), JUMP=Entry(keys=("KeyJ",)))
    assert mapping.translate(Controls(action=(1.0,))).action == (1.0,)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"JUMPP": Entry(keys=("KeyJ",))}, r"of this world \(WALK, JUMP\), got 'JUMPP' - at keys.toml \[w\]"),
        ({"WALK": Entry(keys=("KeyI",), listed=True)}, "for WALK, which goes two ways, got a plain list"),
        ({"JUMP": Entry(keys=("KeyI",), keys_back=("KeyK",))}, "for JUMP, which is on or off, got keys_back"),
        ({"JUMP": Entry(mouse="+x")}, "the mouse, which this world does not take for it"),
        ({"WALK": Entry(keys=("Space",), keys_back=("PadA",))}, "something that drives JUMP, got nothing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_world_is_said(entries, message):
    with pytest.raises(InhabitError, match=message):
        remap(world(WALK, JUMP), **entries)


def test_a_world_that_shares_its_keys_is_said():
    info = world(JUMP, msgspec.structs.replace(JUMP, name="CLIMB"))
    with pytest.raises(InhabitError, match="Cannot give JUMP other keys: the world shares all of its own"):
        remap(info, JUMP=Entry(keys=("KeyJ",)))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "keys.toml"
        path.write_text(text)
        return path

    return write


def test_a_file_is_read(write):
    keys = load_keys(
        write("mouse_scale = 2\n[toy]\nLEFT = ['KeyJ', '-PadRX', 'mouse -x']\n[isle]\nMOVE_X = { keys = ['KeyL'] }\n")
    )
    assert keys.mouse_scale == 2.0
    assert keys.worlds["toy"]["LEFT"] == Entry(keys=("KeyJ",), pad=("-PadRX",), mouse="-x", listed=True)
    info = ToyWorld().info
    mapping = Remap(info, keys)
    assert acts(mapping, info, held("KeyJ")) == {"LEFT": 1.0, "RIGHT": 0.0, "FIRE": 0.0}
    assert acts(mapping, info, held("ArrowLeft", "KeyA")) == {"LEFT": 0.0, "RIGHT": 0.0, "FIRE": 0.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LEFT = [", "Expected TOML, got something else: "),
        ("[toy]\nLEFT = ['Keyj']", "got 'Keyj' (did you mean 'KeyJ'?) - at {path} [toy] LEFT"),
        ("[toy]\nLEFT = [4]", "got 4 - at {path} [toy] LEFT"),
        ("[toy]\nLEFT = 'KeyJ'", 'Expected a list such as ["KeyJ", "PadA"] or a table'),
        (
            "[toy]\nLEFT = { key = ['KeyJ'] }",
            "Expected one of keys, keys_back, pad, mouse, got 'key' - at {path} [toy]",
        ),
        ("[toy]\nLEFT = { keys = 'KeyJ' }", "Expected a list, got 'KeyJ' - at {path} [toy] LEFT keys"),
        ("[toy]\nLEFT = { pad = ['PadLX'] }", "Expected a signed axis such as '-PadLX', got 'PadLX' (did you mean"),
        ("[toy]\nLEFT = { mouse = 'x' }", "Expected mouse to be"),
        ("[toy]\nLEFT = ['mouse +x', 'mouse -y']", "Expected one mouse direction for an action, got 2"),
        ("[toy]\nLEFT = ['KeyJ']\nFIRE = ['KeyJ']", "one action for KeyJ, got both LEFT and FIRE: leave one out"),
        ("[toy]\nLEFT = ['KeyJ', 'KeyJ']", "one action for KeyJ, got LEFT twice"),
        ("[toy]\nLEFT = ['Escape']", "Expected another key than Escape"),
        ("toy = 3", "Expected mouse_scale or a table for each world"),
        ("mouse_scale = 0", "Expected mouse_scale to be a number above 0, at most 100, got 0"),
        ("mouse_scale = true", "Expected mouse_scale to be a number above 0"),
    ],
)
def test_a_wrong_file_is_one_clear_line(write, text, message):
    path = write(text)
    with pytest.raises(InhabitError, match=re.escape(message.replace("{path}", str(path)))) as caught:
        load_keys(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_named_must_be_there_and_the_default_one_need_not(tmp_path, monkeypatch):
    with pytest.raises(InhabitError, match="Cannot read the keys file"):
        load_keys(tmp_path / "none.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_keys() == Keys()
    (tmp_path / "inhabit").mkdir()
    default_keys_path().write_text("mouse_scale = 3")
    assert load_keys().mouse_scale == 3.0
