"""One module for each thing worth showing. Nothing imports a demo."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting where it is imported first
