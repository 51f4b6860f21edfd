"""deploy/compose.yaml and deploy/kubernetes: what they ask of Batchwright and of each other is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from batchwright.app.settings import ConfigFile, config_from
from batchwright.cli import main
from batchwright.serve import serve

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("postgres", "settings", "server", "worker", "first-token")
VALIDATORS = ["kubernetes-validate==1.37.0", "compose-spec==0.2.1"]
KUBERNETES = "1.31"  # an old one that is still supported
VALIDATE = """
import json, sys
import compose_spec, kubernetes_validate
compose, manifests, version = json.loads(sys.stdin.read())
compose_spec.PyCompose.from_json(json.dumps(compose)).validate()
for one in manifests:
    kubernetes_validate.validate(one, version, strict=True)
"""

assert serve  # registers itself


def compose() -> dict[str, Any]:
    """With a value for each variable, and merged."""
    text = re.sub(r"\$\{\w+:?[-?][^}]*\}", "value", (DEPLOY / "compose.yaml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def manifests() -> list[dict[str, Any]]:
    return [one for name in FILES for one in yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text())]


def pods() -> list[tuple[str, dict[str, Any]]]:
    """The pod of each workload, by the workload's name."""
    templates = [one for one in manifests() if "template" in one.get("spec", {})]
    return [(one["metadata"]["name"], one["spec"]["template"]["spec"]) for one in templates]


def parsed(words: list[str]) -> None:
    """Fail unless it is a command line of ours."""
    command, context = main.command(), click.Context(main.command())
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command, context = found, click.Context(found, parent=context)
    command.make_context(command.name, words)


def test_the_compose_file_runs_commands_with_settings_that_exist(tmp_path: Path) -> None:
    services = compose()["services"]
    for name in ("server", "worker"):
        service = services[name]
        environ = {"HOME": str(tmp_path), **service["environment"]}
        config = config_from(environ)
        assert config.postgres is not None
        assert config.temporal is not None
        assert config.service.engine == "temporal"
        assert service["read_only"] is True
        assert service["user"] == "10001:10001"
        parsed(service["command"])
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed]
        for mount in service.get("volumes", ()):
            assert mount.partition(":")[0] in compose()["volumes"]


def test_the_settings_of_kubernetes_are_settings() -> None:
    (settings,) = [one for one in manifests() if one["kind"] == "ConfigMap"]
    config = msgspec.convert(tomllib.loads(settings["data"]["config.toml"]), ConfigFile)
    assert config.postgres is not None
    assert config.temporal is not None
    hosts = {config.postgres.url.rpartition("@")[2].partition("/")[0], config.temporal.address.partition(":")[0]}
    services = {one["metadata"]["name"] for one in manifests() if one["kind"] == "Service"}
    assert hosts - services == {"temporal-frontend"}  # of its chart, whose release is called temporal


def test_pods_can_write_only_their_volumes_and_are_not_root() -> None:
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]}), name
        if container["image"] == "batchwright":
            parsed(container["args"])
            assert context["readOnlyRootFilesystem"] is True
            assert pod["securityContext"]["runAsUser"] == 10001  # of deploy/Containerfile
            state = next(one["value"] for one in container["env"] if one["name"] == "BATCHWRIGHT_STATE_DIR")
            mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
            # below the volume, which others may write: the service makes its own folder
            assert Path(state).parent == Path(mounts["state"])
            assert {one["name"] for one in pod["volumes"]} == set(mounts)


def test_selectors_find_their_pods_and_the_list_names_every_file() -> None:
    lasting = [one for one in manifests() if one["kind"] in ("Deployment", "StatefulSet")]
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in lasting]
    for one in manifests():
        selector = one.get("spec", {}).get("selector")
        if selector:
            assert selector.get("matchLabels", selector) in labels, one["metadata"]["name"]
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    apart = {"kustomization.yaml", "temporal-values.yaml", "first-token.yaml"}
    assert set(listed) == {path.name for path in (DEPLOY / "kubernetes").iterdir()} - apart


def test_databases_are_what_a_store_needs() -> None:
    postgres = compose()["services"]["postgres"]["environment"]
    (container,) = dict(pods())["postgres"]["containers"]
    given = {one["name"]: one.get("value") for one in container["env"]}
    for environ in (postgres, given):
        assert (environ["POSTGRES_USER"], environ["POSTGRES_DB"]) == ("batchwright", "batchwright")
        assert "UTF8" in environ["POSTGRES_INITDB_ARGS"]


@pytest.mark.long  # fetches validators of 115 MB, which nothing else needs
def test_schemas_of_compose_and_kubernetes_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "validators"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *VALIDATORS]
    subprocess.run(pip, check=True, capture_output=True)
    given = json.dumps([compose(), manifests(), KUBERNETES])
    environ = {**os.environ, "PYTHONPATH": str(target)}
    check = [sys.executable, "-c", VALIDATE]
    done = subprocess.run(check, input=given, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
