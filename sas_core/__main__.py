"""`python -m sas_core`: the command line."""

import sys

from sas_core.cli import app

for stream in (sys.stdout, sys.stderr):
    # a model may write any character, and a terminal or a pipe may be told to take ASCII only
    stream.reconfigure(errors="backslashreplace")
app(prog_name="python -m sas_core")
