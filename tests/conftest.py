"""Puts the testkit, a third party's package with a fault and sources, where entry points are found."""

import os
import sys
from pathlib import Path

TESTKIT = Path(__file__).parent / "testkit"
sys.path.insert(0, str(TESTKIT))
# The zygote and the guardian are processes of their own.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTKIT), os.environ.get("PYTHONPATH")]))
