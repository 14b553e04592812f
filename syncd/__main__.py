"""``python -m syncd`` is the program `syncd`, for machines on which its script is not on the path."""

from __future__ import annotations

from syncd.cli.start import run

if __name__ == "__main__":
    run()
