#include "names.h"

#include <string.h>

const char *const inh_buttons[INH_BUTTONS] = {
    "KeyA", "KeyB", "KeyC", "KeyD", "KeyE", "KeyF", "KeyG", "KeyH", "KeyI", "KeyJ", "KeyK", "KeyL", "KeyM", "KeyN",
    "KeyO", "KeyP", "KeyQ", "KeyR", "KeyS", "KeyT", "KeyU", "KeyV", "KeyW", "KeyX", "KeyY", "KeyZ", "Digit0",
    "Digit1", "Digit2", "Digit3", "Digit4", "Digit5", "Digit6", "Digit7", "Digit8", "Digit9", "F1", "F2", "F3", "F4",
    "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "Numpad0", "Numpad1", "Numpad2", "Numpad3", "Numpad4",
    "Numpad5", "Numpad6", "Numpad7", "Numpad8", "Numpad9", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Space",
    "Enter", "Escape", "Tab", "Backspace", "Delete", "Insert", "Home", "End", "PageUp", "PageDown", "ShiftLeft",
    "ShiftRight", "ControlLeft", "ControlRight", "AltLeft", "AltRight", "MetaLeft", "MetaRight", "CapsLock", "Minus",
    "Equal", "BracketLeft", "BracketRight", "Backslash", "Semicolon", "Quote", "Backquote", "Comma", "Period",
    "Slash", "NumpadAdd", "NumpadSubtract", "NumpadMultiply", "NumpadDivide", "NumpadDecimal", "NumpadEnter",
    "Mouse0", "Mouse1", "Mouse2", "Mouse3", "Mouse4", "PadA", "PadB", "PadX", "PadY", "PadLB", "PadRB", "PadBack",
    "PadStart", "PadL3", "PadR3", "PadDpadUp", "PadDpadDown", "PadDpadLeft", "PadDpadRight", "PadGuide",
};

const char *const inh_axes[INH_AXES] = {
    "PadLX", "PadLY", "PadRX", "PadRY", "PadLT", "PadRT",
};

static int find(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

int inh_button_index(const char *name) { return find(inh_buttons, INH_BUTTONS, name); }

int inh_axis_index(const char *name) { return find(inh_axes, INH_AXES, name); }
