"""The input-to-world bridge: what a world is, and how to reach one in another process. No torch, no window."""
