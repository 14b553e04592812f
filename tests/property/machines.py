"""Long random histories, in shares that run beside each other.

CI walks the same ones each time, so that a red run can be repeated; SYNCD_MACHINES=5000 makes a long run of new ones
(whose failures are then shrunk as well).
"""

from __future__ import annotations

import logging
import os

import stamina
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test

_WANTED = os.environ.get("SYNCD_MACHINES")
_SHRINK_FROM = 1000
_NUMBER = 4
SHARES = range(_NUMBER)
"""Values of a test's parameter ``share``."""


def walk(machine: type[RuleBasedStateMachine], share: int, *, machines: int, steps: int) -> None:
    """Run one share of so many machines, of at most ``steps`` steps each; one that fails prints its history."""
    wanted = int(_WANTED or machines)
    quick = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking whole histories takes minutes
    chosen = settings(
        max_examples=max(1, wanted // _NUMBER),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=quick if wanted <= _SHRINK_FROM else tuple(Phase),
        print_blob=True,
    )
    test = get_state_machine_test(machine, settings=chosen)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with stamina.set_testing(True, attempts=6, cap=True):
        (test if _WANTED else seed(share)(test))()
    structlog.reset_defaults()
