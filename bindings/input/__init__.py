"""Input: which device part is which name, and a person's own keys for a world's actions. No window, no headset here."""

from inhabit.bindings.input.keys_file import Keys, default_keys_path, load_keys
from inhabit.bindings.input.remap import Remap

__all__ = ["Keys", "Remap", "default_keys_path", "load_keys"]
