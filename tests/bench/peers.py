"""``make bench-peers``: what others need to read the same company from the same sandbox, and syncd in turn with them.

Installs pinned public packages into a folder of its own (``.bench/peers``), with npm as it is set up here, and nothing
of them into syncd's environment. Each reading is a process of its own; readings of a peer and of syncd take turns.
Ratios count: both talk to the same imitation, which is the slower half of what the peer waits for.

What a peer does not do is printed beside it: it is the reason why the two are no substitutes for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.stage import Size, Stage, open_stage

_ROOT = Path(__file__).resolve().parents[2]
_INSTALL_SECONDS, _READ_SECONDS = 900, 1800
_LIMITS = {0.0: 0.35, 0.020: 0.3}
"""How much of the time of a peer that only fills memory syncd may take, by seconds by which answers are held back."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A public package that reads users, groups and members from Graph."""

    name: str
    package: str
    version: str
    lacks: str


BACKSTAGE = Peer(
    "Backstage reader for Graph",
    "@backstage/plugin-catalog-backend-module-msgraph",
    "0.10.6",
    "keeps everything in memory and nothing on disk; no proof that a reading was complete, and no second reading of "
    "lists whose pages shift; no delta; no managers; nobody without a mail address; a refusal (429) ends its "
    "reading",
)
ABSENT = (
    "ROADrecon 2.0.0 (writes SQLite) is not measured: it reads Azure AD Graph (graph.windows.net, api-version "
    "1.61-internal), which is not Microsoft Graph and which the sandbox does not imitate."
)


def install(peer: Peer, folder: Path) -> Path:
    """Install a pinned package of npm, where it is not there yet; return its folder."""
    home = folder / f"{peer.package.rpartition('/')[2]}-{peer.version}"
    done = home / ".installed"
    if done.exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{peer.package}@{peer.version}"]
    subprocess.run(command, cwd=home, check=True, timeout=_INSTALL_SECONDS, stdout=sys.stderr)
    done.touch()
    return home


def read_by_backstage(stage: Stage, home: Path) -> dict[str, Any]:
    """Let the peer read everything; return what it prints."""
    graph = tomllib.loads(stage.config.read_text(encoding="utf-8"))["graph"]
    options = {
        "folder": str(home),
        "target": f"{graph['base_url']}/v1.0",
        "tenant_id": graph["tenant_id"],
        "token_url": f"{graph['authority_url']}/{graph['tenant_id']}/oauth2/v2.0/token",
        "form": {
            "grant_type": "client_credentials",
            "client_id": graph["client_id"],
            "client_secret": Path(graph["client_secret_file"]).read_text(encoding="utf-8").strip(),
            "scope": f"{graph['base_url']}/.default",
        },
    }
    done = subprocess.run(
        ["node", str(Path(__file__).with_suffix(".cjs"))],
        input=json.dumps(options),
        env={**os.environ, "NODE_EXTRA_CA_CERTS": graph["ca_file"]},
        capture_output=True,
        text=True,
        timeout=_READ_SECONDS,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read_by_syncd(stage: Stage) -> dict[str, Any]:
    """Let syncd read everything into an empty store on disk, with its proofs."""
    stage.empty_store()
    return stage.work("measured", "pull")


def main() -> int:
    """Measure and print; exit code 1 when syncd takes more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--memberships", type=int, default=300_000)
    parser.add_argument("--big-groups", type=int, default=3, help="groups of 10,000 among them")
    parser.add_argument("--quick", action="store_true", help="3,000 people, each thing once; without limits")
    parser.add_argument("--repeat", type=int, default=3, help="how often each reads; medians count")
    options = parser.parse_args()
    missing = [program for program in ("npm", "node") if shutil.which(program) is None]
    if missing:
        print(f"bench-peers needs {' and '.join(missing)}", file=sys.stderr)
        return 2
    size = Size(options.users, options.groups, options.memberships, options.big_groups)
    repeat = options.repeat
    if options.quick:
        size, repeat = Size(3000, 300, 18_000, 0), 1
    home = install(BACKSTAGE, _ROOT / ".bench" / "peers")
    good = True
    print(f"{size.users:,} users, {size.groups:,} groups, {size.memberships:,} memberships, {os.cpu_count()} cores")
    with (
        tempfile.TemporaryDirectory(prefix="syncd-peers-") as folder,
        open_stage(Path(folder) / "stage", size) as stage,
    ):
        for latency, limit in _LIMITS.items():
            stage.turn(latency=latency)
            pairs = [(read_by_backstage(stage, home), read_by_syncd(stage)) for _ in range(repeat)]
            print(f"\nanswers held back by {latency * 1000:.0f} ms: {BACKSTAGE.name} {BACKSTAGE.version}, syncd, ratio")
            for what in ("seconds", "cpu_seconds", "peak_mb"):
                theirs, ours = (statistics.median(each[what] for each in side) for side in zip(*pairs, strict=True))
                wanted = limit if what == "seconds" and not options.quick else None
                good = good and (wanted is None or ours / theirs <= wanted)
                said = (
                    "" if wanted is None else f"  at most {wanted:g}  {'ok' if ours / theirs <= wanted else 'BEYOND'}"
                )
                print(f"  {what:12} {theirs:10.2f} {ours:10.2f} {ours / theirs:8.2f}{said}", flush=True)
            users, groups = pairs[0][0]["users"], pairs[0][0]["groups"]
            counts = pairs[0][1]["counts"]
            print(f"  it read {users:,} users and {groups:,} groups, syncd {counts['users_read']:,} and "
                  f"{counts['groups_read']:,}, with {counts['links_read']:,} memberships and owners")  # fmt: skip
    print(f"\n{BACKSTAGE.name}: {BACKSTAGE.lacks}.\n{ABSENT}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
