"""The C client: inhabit.h and its sources. docs/embed.md tells how engines use it; build.py builds it."""
