"""Train any registered method: ``python train.py method=spirl env=maze``. ``--help`` says more."""

import sys

from lightning_skills.command import train

if __name__ == "__main__":
    sys.exit(train())
