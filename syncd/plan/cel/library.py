"""The CEL library without its command line.

``import cel`` also imports the terminal program that the package brings (typer, rich, prompt_toolkit), some 25 MB in
every process and a third of a second at every start. An empty module stands in for it while the package loads.
"""

from __future__ import annotations

import sys
from types import ModuleType

_COMMAND_LINE = "cel.cli"

_stand_in = sys.modules.setdefault(_COMMAND_LINE, ModuleType(_COMMAND_LINE))
try:
    import cel
    from cel.stdlib import add_stdlib_to_context
finally:
    if not hasattr(_stand_in, "__file__"):
        del sys.modules[_COMMAND_LINE]

__all__ = ["add_stdlib_to_context", "cel"]
