"""The two images, built once, and a volume for their store."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.compose import ROOT
from tests.container.engine import IMAGE, SANDBOX_IMAGE, Engine, find_engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The container tool, with both images built; skips where there is no tool or no base image to be had.

    SYNCD_TEST_CONTAINER: 1 makes a failure of what would be skipped, 0 skips in any case.
    """
    wanted = os.environ.get("SYNCD_TEST_CONTAINER", "")
    if wanted == "0":
        pytest.skip("the container image was not tested: SYNCD_TEST_CONTAINER is 0")
    give_up = pytest.fail if wanted == "1" else pytest.skip
    found = find_engine()
    if found is None:
        give_up("the container image was not tested: neither docker nor podman works here")
    base = os.environ.get("SYNCD_BASE_IMAGE") or load_base_image()
    if not found.has_base(base):
        give_up(f"the container image was not tested: {base} is not here and cannot be pulled")
    # The workers of one session share this folder's parent: one builds, and the others find every layer built.
    with (tmp_path_factory.getbasetemp().parent / "syncd-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for tag, target in ((SANDBOX_IMAGE, "sandbox"), (IMAGE, "service")):
            built = found.build(ROOT, tag, base=base, target=target)
            assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    return found


@pytest.fixture
def volume(engine: Engine) -> Iterator[str]:
    """The options that mount a fresh volume as the store's folder."""
    name = f"syncd-test-{uuid4().hex}"
    assert engine.call("volume", "create", name).returncode == 0
    yield f"{name}:/var/lib/syncd"
    engine.call("volume", "rm", "--force", name)


def load_base_image() -> str:
    """Return the base image that the Dockerfile names."""
    named = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert named is not None
    return named[1]
