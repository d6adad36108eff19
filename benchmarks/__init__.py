"""Measurements, and what they are compared with."""

import os

os.environ.setdefault("RL_LOGGING_LEVEL", "ERROR")  # read while torchrl is imported
