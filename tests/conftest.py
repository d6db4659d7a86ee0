"""Before any test imports torch: threads that wait must not spin, or tests crawl on a busy machine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
