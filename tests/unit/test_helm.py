"""The Helm chart: linted and rendered by Helm itself, valid for the Kubernetes API, and fitting the image."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from syncd.config import layers
from syncd.daemon import service as daemon
from tests.compose import ROOT
from tests.optional import import_or_skip
from tests.unit.test_docs import list_unknown

CHART = ROOT / "deploy/helm/syncd"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
API_VERSIONS = ["1.25.0", "1.31.0", "1.37.0"]
OPERATOR = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which the API itself does not have."""

Manifest = dict[str, Any]


def load_values(name: str) -> dict[str, Any]:
    """Return the values of a case."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text("utf-8"))
    return values


def render(values: Mapping[str, Any]) -> dict[str, list[Manifest]]:
    """Return the manifests that Helm makes of the chart, by kind, and its notes as one of them."""
    charts = import_or_skip("helm_python.chart", reason="the chart was not rendered: no helm-python-sdk (make tools)")
    with charts.Chart.load(CHART) as chart:
        files = chart.render(values=dict(values), name="syncd", namespace="identity")
    made: dict[str, list[Manifest]] = {"Notes": [{"text": files.pop("syncd/templates/NOTES.txt")}]}
    for text in files.values():
        for manifest in yaml.safe_load_all(text):
            if manifest is not None:
                made.setdefault(manifest["kind"], []).append(manifest)
    return made


def get_pod(made: Mapping[str, list[Manifest]]) -> Manifest:
    """Return the specification of the pod."""
    (deployment,) = made["Deployment"]
    pod: Manifest = deployment["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.stem))
def test_helm_has_nothing_to_say_about_the_chart(case: Path) -> None:
    """Its linter, with the values of each case; an icon is a matter of taste."""
    charts = import_or_skip("helm_python.chart", reason="the chart was not linted: no helm-python-sdk (make tools)")
    linted = charts.lint(CHART, values=yaml.safe_load(case.read_text("utf-8")), strict=True)
    said = [message["error"] for message in linted["messages"]]
    assert (linted["errors"], said) == ([], ["icon is recommended"])


@pytest.mark.parametrize("version", API_VERSIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.stem))
def test_manifests_are_valid_for_the_api(case: Path, version: str) -> None:
    """The oldest version that the chart allows, one between, and the newest one known here; no unknown field."""
    kubernetes_validate = import_or_skip(
        "kubernetes_validate", reason="the chart's manifests were not validated: no kubernetes-validate (make tools)"
    )
    made = render(yaml.safe_load(case.read_text("utf-8")))
    judged = [each for kind, manifests in made.items() if kind not in OPERATOR | {"Notes"} for each in manifests]
    assert {"Deployment", "Service", "ServiceAccount"} <= {manifest["kind"] for manifest in judged}
    for manifest in judged:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_sqlite_is_one_replica_with_a_volume_that_stays() -> None:
    """Two pods must not share the file: the old one goes first, and uninstalling leaves the store."""
    made = render(load_values("sqlite"))
    (deployment,), (claim,) = made["Deployment"], made["PersistentVolumeClaim"]
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (store,) = (volume for volume in get_pod(made)["volumes"] if volume["name"] == "store")
    assert store["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert "PodDisruptionBudget" not in made


def test_postgresql_is_a_standby_pair_that_a_drain_does_not_take_as_a_whole() -> None:
    """Its URL comes from the secret, nothing is kept in a volume, and the database may be reached."""
    made = render(load_values("postgresql"))
    (deployment,), (budget,), (policy,) = made["Deployment"], made["PodDisruptionBudget"], made["NetworkPolicy"]
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (2, {"type": "Recreate"})
    assert budget["spec"]["maxUnavailable"] == 1
    assert (
        budget["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert 5432 in [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert policy["spec"]["ingress"][0]["from"] == load_values("postgresql")["networkPolicy"]["ingressFrom"]
    assert "PersistentVolumeClaim" not in made
    pod = get_pod(made)
    (store,) = (volume for volume in pod["volumes"] if volume["name"] == "store")
    assert store == {"name": "store", "emptyDir": {}}
    said = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
    assert (said["SYNCD_STORE__URL"], said["SYNCD_STORE__URL_FILE"]) == ("", "/run/secrets/syncd/store_url")


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.stem))
def test_the_pod_fits_the_image_and_the_program(case: Path) -> None:
    """User, port, folder, probes and time to stop are those of Dockerfile and daemon; variables are settings."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    pod = get_pod(render(yaml.safe_load(case.read_text("utf-8"))))
    (container,), (migrate,) = pod["containers"], pod["initContainers"]
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile
    assert f"EXPOSE {container['ports'][0]['containerPort']}" in dockerfile
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"VOLUME {mounts['store']}" in dockerfile
    assert f"{mounts['config']}/syncd.toml" == str(layers.SYSTEM_FILE)
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["terminationGracePeriodSeconds"] > daemon.GRACE_SECONDS + daemon._LAST_SECONDS
    assert {variable["name"] for variable in container["env"]} <= {name for name, _ in layers._variables()}
    for each in (container, migrate):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    same = ("image", "env", "volumeMounts", "securityContext")
    assert [container.get(key) for key in same] == [migrate.get(key) for key in same]
    assert (migrate["args"], container["args"]) == (["migrate"], ["run"])


@pytest.mark.parametrize("case", ["sqlite", "postgresql"])
def test_in_maintenance_one_pod_stays_up_and_nothing_touches_the_store(case: str) -> None:
    """The same mounts and variables; neither a daemon nor a migration, nor a probe that would end the pod."""
    values = load_values(case)
    made, usual = render(values | {"maintenance": True}), render(values)
    pod = get_pod(made)
    (container,) = pod["containers"]
    (known,) = get_pod(usual)["containers"]
    assert made["Deployment"][0]["spec"]["replicas"] == 1
    assert "initContainers" not in pod
    assert not {"args", "livenessProbe", "readinessProbe"} & container.keys()
    assert container["command"][:2] == ["python", "-c"]
    compile(container["command"][2], "command", "exec")
    same = ("image", "env", "volumeMounts", "securityContext", "resources")
    assert [container.get(key) for key in same] == [known.get(key) for key in same]
    assert "--set maintenance=false" in made["Notes"][0]["text"]
    assert "maintenance" not in usual["Notes"][0]["text"]
    kubernetes_validate = import_or_skip("kubernetes_validate", reason="not validated: no kubernetes-validate")
    kubernetes_validate.validate(made["Deployment"][0], API_VERSIONS[0], strict=True)


def test_what_the_page_sets_the_chart_knows() -> None:
    """Each --set of the page on Kubernetes, alone and with what it needs, makes manifests; notes and page agree."""
    text = (ROOT / "docs/how-to/deploy-kubernetes.md").read_text("utf-8")
    said = re.findall(r"--set ([\w.]+)=([\w./-]+)", text)
    assert {"store.type", "existingSecret", "maintenance", "console.ingress.host"} <= {key for key, _ in said}
    values: dict[str, Any] = {"config": "[graph]"}
    for key, value in said:
        *parts, last = key.split(".")
        inner = values
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = {"true": True, "false": False}.get(value, value)
    assert get_pod(render(values))["containers"][0]["image"].startswith("registry.example.com/syncd:")


def test_every_named_template_says_what_it_is() -> None:
    """As in charts that others have to read."""
    text = (CHART / "templates/_helpers.tpl").read_text("utf-8")
    assert len(re.findall(r"^\{\{- define ", text, re.MULTILINE)) == len(
        re.findall(r"^\{\{/\* .+ \*/\}\}\n\{\{- define ", text, re.MULTILINE)
    )


def test_the_console_has_a_port_only_where_it_is_wanted() -> None:
    """Pod, Service, Ingress and network policy name the same one, on which the program listens."""
    made = render(load_values("postgresql"))
    (container,), (service,), (ingress,), (policy,) = (
        get_pod(made)["containers"], made["Service"], made["Ingress"], made["NetworkPolicy"]
    )  # fmt: skip
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    said = {variable["name"]: variable["value"] for variable in container["env"]}
    assert said["SYNCD_WEB__LISTEN"] == f"0.0.0.0:{ports['console']}"
    offered = {each["name"]: each["targetPort"] for each in service["spec"]["ports"]}
    assert offered == {"http": "http", "console": "console"}
    (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
    assert (rule["host"], tls) == ("syncd.example.com", {"hosts": ["syncd.example.com"], "secretName": "syncd-tls"})
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "console"}}
    allowed = {each["ports"][0]["port"]: each["from"] for each in policy["spec"]["ingress"]}
    assert allowed["console"] == load_values("postgresql")["networkPolicy"]["consoleFrom"]
    without = render(load_values("sqlite"))
    assert "Ingress" not in without
    assert [each["name"] for each in without["Service"][0]["spec"]["ports"]] == ["http"]
    assert "SYNCD_WEB__LISTEN" not in str(get_pod(without))
    shut = load_values("postgresql") | {"console": {"enabled": False}}
    assert [each["ports"][0]["port"] for each in render(shut)["NetworkPolicy"][0]["spec"]["ingress"]] == ["http"]


def test_configurations_of_the_cases_name_only_settings() -> None:
    """They are what the ConfigMap holds, and a changed one restarts the pod."""
    for name in ("sqlite", "workload-identity"):
        values = load_values(name)
        made = render(values)
        (config,) = (each for each in made["ConfigMap"] if "syncd.toml" in each["data"])
        assert config["data"]["syncd.toml"].strip() == values["config"].strip()
        assert list_unknown(tomllib.loads(config["data"]["syncd.toml"])) == set()
        changed = render(values | {"config": values["config"] + "\n# changed\n"})
        sums = [
            each["Deployment"][0]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for each in (made, changed)
        ]
        assert sums[0] != sums[1]


def test_a_pod_with_an_identity_of_its_own() -> None:
    """Annotations at the account, the label at the pod, no token of the cluster; digest and mounts as given."""
    made = render(load_values("workload-identity"))
    (account,), (deployment,) = made["ServiceAccount"], made["Deployment"]
    pod, values = get_pod(made), load_values("workload-identity")
    assert account["metadata"]["annotations"] == values["serviceAccount"]["annotations"]
    assert deployment["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert (account["automountServiceAccountToken"], pod["automountServiceAccountToken"]) == (False, False)
    assert pod["serviceAccountName"] == account["metadata"]["name"] == "directory-sync"
    assert pod["containers"][0]["image"] == f"registry.example.com/syncd@{values['image']['digest']}"
    assert values["extraVolumeMounts"][0] in pod["containers"][0]["volumeMounts"]
    assert values["extraVolumes"][0] in pod["volumes"]
    assert "syncd-extra" in [each["metadata"]["name"] for each in made["ConfigMap"]]
    assert "PersistentVolumeClaim" not in made


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"replicaCount": 2}, "a SQLite store serves one replica"),
        ({"config": ""}, "there is no configuration"),
        ({"existingConfigMap": "other"}, "there are two configurations"),
        ({"store": {"type": "postgresql"}, "existingSecret": ""}, "the URL of the PostgreSQL store is a secret"),
        ({"store": {"type": "mysql"}}, "store"),
        ({"console": {"ingress": {"enabled": True, "host": "syncd.example.com"}}}, "an ingress leads to the console"),
        ({"console": {"enabled": True, "ingress": {"enabled": True}}}, "an ingress leads to the console"),
        ({"console": {"port": 443}}, "console"),
        ({"replicas": 1}, "replicas"),
        ({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds"),
    ],
)
def test_values_that_cannot_work_are_refused(changed: dict[str, Any], said: str) -> None:
    """With the way out, before anything is made; a misspelt value as well."""
    errors = import_or_skip("helm_python", reason="refused values were not tested: no helm-python-sdk (make tools)")
    with pytest.raises(errors.HelmError, match=re.escape(said)):
        render(load_values("sqlite") | changed)


def test_notes_say_the_next_command() -> None:
    """With the namespace and the name that were chosen."""
    (notes,) = render(load_values("sqlite"))["Notes"]
    assert "kubectl --namespace identity exec deploy/syncd -- syncd check" in notes["text"]
    assert "No secret is mounted" not in notes["text"]
    (notes,) = render(load_values("sqlite") | {"existingSecret": ""})["Notes"]
    assert "No secret is mounted" in notes["text"]


def iterate_keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of values whose shape the chart itself decides."""
    kept = {
        "podSecurityContext",
        "securityContext",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "annotations",
        "labels",
    }
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in kept:
            yield from iterate_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_value_is_in_the_schema_and_in_the_readme() -> None:
    """What is not there is refused; the default of each stands in the table."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() - {"global"} == values.keys()
    rows = re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text("utf-8"), re.MULTILINE)
    assert rows == list(iterate_keys(values))


def test_the_dashboard_is_brought_whole_where_it_is_wanted() -> None:
    """As a ConfigMap that Grafana's sidecar finds by its label."""
    (board,) = (each for each in render(load_values("postgresql"))["ConfigMap"] if "syncd.json" in each["data"])
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["data"]["syncd.json"] == (CHART / "files/dashboard.json").read_text("utf-8")
    assert not any("syncd.json" in each["data"] for each in render(load_values("sqlite"))["ConfigMap"])
