"""``python -m syncd.sandbox`` is ``syncd sandbox``."""

from syncd.cli.sandbox import sandbox

if __name__ == "__main__":
    sandbox(prog_name="python -m syncd.sandbox")
