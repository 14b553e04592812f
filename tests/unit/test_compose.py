"""deploy/compose.yaml fits the program, the image and the example configuration that it mounts."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from syncd.bootstrap.settings import read_settings
from syncd.config import layers
from syncd.config.values import parse_duration
from syncd.daemon import service as daemon
from tests.compose import DEPLOY, ROOT, SECRETS, load_compose, translate

Compose = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Compose:
    """The document."""
    return load_compose()


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The instructions that both images share, one a line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition(" AS system\n")[2]
    return re.sub(r"\\\n\s*", "", text)


def read_environment(dockerfile: str) -> dict[str, str]:
    """Return what the image sets."""
    found: dict[str, str] = {}
    for line in re.findall(r"^ENV (.+)$", dockerfile, re.MULTILINE):
        found |= dict(part.split("=", 1) for part in shlex.split(line))
    return {name: value for name, value in found.items() if name.startswith("SYNCD_")}


def test_every_variable_is_a_setting(compose: Compose, dockerfile: str) -> None:
    """Of the image as well; a misspelt one would keep the container from starting."""
    known = {name for name, _ in layers._variables()}
    for said in (compose["services"]["syncd"]["environment"], read_environment(dockerfile)):
        assert said
        assert said.keys() <= known


def test_the_console_has_its_port_ready(compose: Compose) -> None:
    """Switched off, and where `[web]` listens in the example of a container."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert re.search(r'^      # - 8443:8443 .*listen = "0\.0\.0\.0:8443"', text, re.MULTILINE)
    assert not any("8443" in str(port) for port in compose["services"]["syncd"]["ports"])


def test_whatever_is_named_is_declared(compose: Compose) -> None:
    """Secrets, volumes, networks, and services that are waited for until they are healthy."""
    services = compose["services"]
    named = {name for service in services.values() for name in service["secrets"]}
    assert named == compose["secrets"].keys()
    sources = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    assert {source for source in sources if not source.startswith(".")} == compose["volumes"].keys()
    assert {name for service in services.values() for name in service["networks"]} == compose["networks"].keys()
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other]
    assert (DEPLOY / services["syncd"]["build"] / "Dockerfile").samefile(ROOT / "Dockerfile")


def test_the_head_names_every_file_to_put_there(compose: Compose) -> None:
    """Each secret, and the URL whose user, host and database are those of the service beside it."""
    head = (DEPLOY / "compose.yaml").read_text(encoding="utf-8").partition("\nname:")[0]
    for secret in compose["secrets"].values():
        assert re.search(rf"^#\s+{secret['file']}\s", head, re.MULTILINE), secret
    (text,) = re.findall(r"secrets/store_url\s+(\S+)", head)
    url, postgres = make_url(text), compose["services"]["postgres"]["environment"]
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])
    assert url.host in compose["services"]


def test_what_is_mounted_is_where_it_is_looked_for(compose: Compose, dockerfile: str) -> None:
    """The configuration where the program looks, read-only; the volume where the image keeps its store."""
    syncd = compose["services"]["syncd"]
    targets = dict(volume.split(":", 1) for volume in syncd["volumes"])
    assert targets["./syncd.toml"] == f"{layers.SYSTEM_FILE}:ro"
    assert re.findall(r"^(?:VOLUME|WORKDIR) (.+)$", dockerfile, re.MULTILINE) == [targets["work"]] * 2
    assert (DEPLOY / "syncd.toml").is_file()
    wanted = set(re.findall(rf'"{SECRETS}/(\w+)"', "\n".join(_live_lines(DEPLOY / "syncd.toml"))))
    wanted |= {
        text.removeprefix(f"{SECRETS}/") for name, text in syncd["environment"].items() if name.endswith("_FILE")
    }
    assert wanted == set(syncd["secrets"])


def test_its_health_check_is_the_images(compose: Compose, dockerfile: str) -> None:
    """The same command in the same rhythm, on the port that the image listens at and the file publishes."""
    syncd = compose["services"]["syncd"]
    options, command = re.findall(r"^HEALTHCHECK (.+?) CMD (\[.+\])$", dockerfile, re.MULTILINE)[0]
    check = dict(syncd["healthcheck"])
    assert check.pop("test") == ["CMD", *json.loads(command)]
    image = dict(part.removeprefix("--").replace("-", "_").split("=") for part in options.split())
    assert {name: str(value) for name, value in check.items()} == image
    port = read_environment(dockerfile)["SYNCD_HEALTH__LISTEN"].rpartition(":")[2]
    assert f"127.0.0.1:{port}/healthz" in command
    assert [published.rpartition(":")[2] for published in syncd["ports"]] == [port]


def test_the_daemon_has_the_time_it_takes_to_stop(compose: Compose) -> None:
    """Longer than the grace of a run and what follows it; a kill would leave the run to be found interrupted."""
    given = parse_duration(compose["services"]["syncd"]["stop_grace_period"]).total_seconds()
    assert given > daemon.GRACE_SECONDS + daemon._LAST_SECONDS


def test_the_example_is_accepted_with_these_variables_and_secrets(
    compose: Compose, dockerfile: str, tmp_path: Path
) -> None:
    """The store comes from the secret, though the image names another one, and each side's secret from its file."""
    syncd = compose["services"]["syncd"]
    secrets = {name: f"the {name} secret" for name in syncd["secrets"]}
    secrets["store_url"] = "postgresql+psycopg://syncd:hunter2@postgres/syncd"
    for name, text in secrets.items():
        (tmp_path / name).write_text(text + "\n")
    config = tmp_path / "syncd.toml"
    config.write_text((DEPLOY / "syncd.toml").read_text(encoding="utf-8").replace(SECRETS, str(tmp_path)))
    said = read_environment(dockerfile) | syncd["environment"]
    settings = read_settings(config, {name: text.replace(SECRETS, str(tmp_path)) for name, text in said.items()})
    assert settings.store.url.reveal() == secrets["store_url"]
    assert settings.graph.client_secret is not None
    assert settings.graph.client_secret.reveal() == secrets["graph"]
    assert settings.bps.client_secret is not None
    assert settings.bps.client_secret.reveal() == secrets["bps"]
    assert settings.health.listen is not None
    assert settings.health.listen.host == "0.0.0.0"


def test_every_key_of_the_file_can_be_carried_out(compose: Compose) -> None:
    """The container's test leaves nothing out; what it does not know is an error."""
    for service in compose["services"].values():
        mounts = {volume.split(":")[0]: "x" for volume in service["volumes"]}
        options = translate(service, secrets=dict.fromkeys(service["secrets"], Path("/x")), mounts=mounts)
        assert "--read-only" in options
    with pytest.raises(ValueError, match="'privileged'"):
        translate({"privileged": True}, secrets={}, mounts={})


def _live_lines(path: Path) -> list[str]:
    """Return the lines of a TOML file that say something, which must be TOML."""
    text = path.read_text(encoding="utf-8")
    tomllib.loads(text)
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_image_has_one_name_everywhere(compose: Compose) -> None:
    """In the compose file, the Dockerfile, the pages and the chart: its own name with this version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    places = [ROOT / "Dockerfile", DEPLOY / "compose.yaml", *(ROOT / "docs/how-to").glob("deploy-*.md")]
    named = {name for place in places for name in re.findall(r"localhost/syncd[\w:.-]*", place.read_text("utf-8"))}
    assert named == {f"localhost/syncd:{version}", f"localhost/syncd:{version}-sandbox"}
    assert compose["services"]["syncd"]["image"] == f"${{SYNCD_IMAGE:-localhost/syncd:{version}}}"
    chart = DEPLOY / "helm/syncd"
    assert "\n  repository: localhost/syncd\n" in (chart / "values.yaml").read_text("utf-8")
    assert re.search(
        rf'^appVersion: "?{re.escape(version)}"?$', (chart / "Chart.yaml").read_text("utf-8"), re.MULTILINE
    )
    before = re.findall(r"localhost/syncd[\w:.-]*", (ROOT / "docs/how-to/upgrade.md").read_text("utf-8"))
    assert f"localhost/syncd:{version}" in before
    assert all(re.fullmatch(r"localhost/syncd:(before|\d+\.\d+\.\d+)", name) for name in before)


def test_each_container_has_an_init_process_and_a_log_that_ends(compose: Compose) -> None:
    """Nothing that was started with exec is left behind, and no log fills the disk."""
    for service in compose["services"].values():
        assert service["init"] is True
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
