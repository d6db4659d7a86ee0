"""Thin presenters over the bridge: a window, environments, engines. No torch."""
