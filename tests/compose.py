"""``deploy/compose.yaml``: read, and one of its services translated into the options of a ``run``.

A key that is not known here is refused, so that nothing in the file goes untested by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SECRETS = "/run/secrets"
"""Where compose puts the secrets of a service, by its specification; each is a file with the secret's name."""

# How services reach each other and when they start: a single container on the host's network has no use for it. The
# health check is run by the tests themselves. podman takes init from a program that a machine may lack, and knows no
# number of log files.
_PASSED_OVER = {"image", "build", "restart", "depends_on", "ports", "networks", "healthcheck", "init", "logging"}


def load_compose() -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return document


def translate(service: Mapping[str, Any], *, secrets: Mapping[str, Path], mounts: Mapping[str, str]) -> list[str]:
    """Return what the file says of a service as options of docker's and podman's ``run``.

    ``secrets``: the file of each secret. ``mounts``: a path or a volume's name for each source of a volume.
    Raises ValueError for a key that is not translated, KeyError for a secret or a source that is not given.
    """
    options: list[str] = []
    for key, value in service.items():
        match key:
            case "environment":
                options += [part for name, text in value.items() for part in ("--env", f"{name}={text}")]
            case "secrets":
                options += [part for name in value for part in ("--volume", f"{secrets[name]}:{SECRETS}/{name}:ro")]
            case "volumes":
                for volume in value:
                    source, _, rest = volume.partition(":")
                    options += ["--volume", f"{mounts[source]}:{rest}"]
            case "read_only":
                options += ["--read-only"] if value else []
            case "tmpfs" | "cap_drop" | "security_opt":
                name = "--" + key.replace("_", "-")
                options += [part for each in value for part in (name, each)]
            case "mem_limit":
                options += ["--memory", value]
            case "user":
                options += ["--user", value]
            case "shm_size":
                options += ["--shm-size", value]
            case "stop_grace_period":
                options += ["--stop-timeout", value.removesuffix("s")]
            case _ if key not in _PASSED_OVER:
                raise ValueError(f"compose.yaml says {key!r}, which no test carries out")
    return options
