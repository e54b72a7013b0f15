"""The image and compose: what they start exists, no secret stands in the clear, every variable is explained."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("postgres", "mlflow", "prefect", "worker", "scoring")
OURS = SERVICES[1:]
ASKED_FOR = re.compile(r"(?<!\$)\$\{(\w+)")  # ${NAME...}, but not the $$ that a script keeps


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def _compose() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(_text("compose.yaml")))


def _service(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _compose()["services"][name])


@cache
def _server_env() -> dict[str, str]:
    lines = (line.strip() for line in _text("mlflow/server.env").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@cache
def _instructions() -> tuple[tuple[str, str], ...]:
    """The Dockerfile's instructions and their arguments, continued lines joined, comments left out."""
    lines = (line for line in _text("Dockerfile").splitlines() if not line.lstrip().startswith("#"))
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    pairs = (line.strip().partition(" ") for line in joined if line.strip())
    return tuple((word, rest.strip()) for word, _, rest in pairs)


def _commands() -> str:
    """Everything that runs while the image is built."""
    return " && ".join(rest for word, rest in _instructions() if word == "RUN")


def _last(word: str) -> str:
    return [rest for found, rest in _instructions() if found == word][-1]


@cache
def _image_variables() -> dict[str, str]:
    found = [rest for word, rest in _instructions() if word == "ENV"]
    return dict(pair.split("=", 1) for rest in found for pair in shlex.split(rest))


# --- compose ---


def test_compose_starts_the_five_services() -> None:
    assert tuple(_compose()["services"]) == SERVICES


def test_every_port_is_published_on_loopback_only() -> None:
    ports = [port for name in SERVICES for port in _service(name).get("ports", [])]
    assert len(ports) == 3
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_database_is_reached_by_its_two_users_only() -> None:
    assert _service("postgres")["networks"] == ["databases"]
    assert _compose()["networks"]["databases"] == {"internal": True}
    assert {name for name in OURS if "databases" in _service(name)["networks"]} == {"mlflow", "prefect"}


SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING")


def test_no_secret_stands_in_compose() -> None:
    written = {
        (name, key): str(value)
        for name in SERVICES
        for key, value in _service(name).get("environment", {}).items()
        if SECRET.search(key)
    }
    assert len(written) >= 10
    assert {place for place, value in written.items() if ":?" not in value} == set()


def test_no_secret_stands_in_the_settings() -> None:
    assert {key for key in _server_env() if SECRET.search(key)} == set()
    assert re.findall(r"//\w+:[^@/\s]+@", _text("mlflow/server.env") + _text("compose.yaml")) == []


def test_no_service_is_given_the_secrets_of_another() -> None:
    given = {name: set(ASKED_FOR.findall(str(_service(name)))) for name in SERVICES}
    assert (
        given["scoring"] & {"PREFECT_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_DB_PASSWORD"} == set()
    )
    assert given["worker"] & {"LOSSWATCH_TOKEN", "MLFLOW_AUTH_ADMIN_PASSWORD", "PREFECT_DB_PASSWORD"} == set()
    assert {name for name in OURS if "POSTGRES_PASSWORD" in given[name]} == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check(name: str) -> None:
    assert _service(name)["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_may_do_as_little_as_it_needs(name: str) -> None:
    service = _service(name)
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_waits_until_what_it_needs_is_healthy(name: str) -> None:
    conditions = {need["condition"] for need in _service(name)["depends_on"].values()}
    assert conditions == {"service_healthy"}


def test_every_volume_and_configuration_that_is_used_is_declared() -> None:
    mounts = [mount for name in SERVICES for mount in _service(name).get("volumes", [])]
    named = {mount.partition(":")[0] for mount in mounts if not mount.startswith("${")}
    assert named == set(_compose()["volumes"])
    assert {found["source"] for found in _service("postgres")["configs"]} == set(_compose()["configs"])


def test_worker_and_scoring_server_share_the_state_of_the_project() -> None:
    assert _service("worker")["volumes"] == _service("scoring")["volumes"]


# --- what is started exists ---


def test_the_worker_runs_what_losswatch_up_runs() -> None:
    program, option, code = _service("worker")["entrypoint"]
    assert (program, option) == ("python", "-c")
    compile(code, "worker", "exec")
    assert "from pipelines.flows import serve_deployments" in code
    assert "def serve_deployments(folder: str)" in _text("pipelines/flows.py")


def test_the_scoring_server_is_a_command_of_losswatch(capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.cli import main

    assert main([*_service("scoring")["command"], "--help"]) == 0
    assert "losswatch serve" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_server_is_a_program_of_the_environment(name: str) -> None:
    assert shutil.which(_service(name)["entrypoint"][0], path=str(Path(sys.executable).parent))


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_server_finds_its_database_where_compose_makes_it(name: str) -> None:
    script = _compose()["configs"]["databases"]["content"]
    assert f"create database {name} owner {name};" in script
    assert f"create role {name} login password :'{name}';" in script


def test_mlflow_and_prefect_name_the_service_that_holds_their_data() -> None:
    assert _server_env()["MLFLOW_BACKEND_STORE_URI"] == "postgresql://mlflow@postgres:5432/mlflow"
    assert _service("prefect")["environment"]["PREFECT_SERVER_DATABASE_HOST"] == "postgres"


def test_mlflow_answers_to_the_name_by_which_the_others_call_it() -> None:
    address = _service("worker")["environment"]["MLFLOW_TRACKING_URI"]
    assert address.removeprefix("http://") in _server_env()["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_mlflow_shows_a_user_nothing_of_others() -> None:
    settings = configparser.ConfigParser()
    settings.read_string(_text("mlflow/basic_auth.ini"))
    assert settings["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert "admin_password" not in settings["mlflow"]


def test_mlflow_runs_nothing_and_loads_no_pickle() -> None:
    assert _server_env()["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert _server_env()["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert _image_variables()["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


# --- the image ---


def test_the_entry_point_of_the_image_is_losswatch() -> None:
    assert _last("ENTRYPOINT") == '["losswatch"]'


def test_the_base_of_the_image_is_an_argument() -> None:
    assert _instructions()[0] == ("ARG", "BASE=debian:bookworm-slim")
    assert [rest.partition(" ")[0] for word, rest in _instructions() if word == "FROM"] == [
        "${BASE}",
        "${BASE}",
    ]


def test_the_image_does_not_run_as_root() -> None:
    assert _last("USER") == "10001:10001"


def test_the_image_installs_the_lock_by_its_hashes_and_nothing_else() -> None:
    installs = re.findall(r"pip install [^&]*", _commands())
    assert len(installs) == 2
    assert "--no-deps --require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_the_image_names_no_registry() -> None:
    assert (
        re.findall(r"https?://(?!127\.0\.0\.1)|index-url|find-links|trusted-host", _text("Dockerfile")) == []
    )


def test_the_image_leaves_the_tools_of_the_developers_out() -> None:
    extra = tomllib.loads(_text("pyproject.toml"))["project"]["optional-dependencies"]["dev"]
    tools = {re.split(r"[<>=[]", requirement)[0] for requirement in extra}
    removed = re.search(r"pip uninstall --yes --quiet([^&]*)", _commands())
    assert removed is not None
    wanted = tools - {"setuptools"}  # which builds the package itself
    brought = {"execnet", "polars-runtime-32", "py-partiql-parser", "responses", "xmltodict"}  # by them alone
    assert set(removed[1].split()) == wanted | brought


def test_the_image_holds_our_packages_and_no_file_that_was_not_meant() -> None:
    wanted = {line[1:].removesuffix("/**") for line in _text(".dockerignore").splitlines() if line[:1] == "!"}
    copied = {
        source
        for word, rest in _instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert "*" in _text(".dockerignore").splitlines()
    assert {source.partition("/")[0] for source in copied} == wanted - {"Dockerfile"}


def test_the_image_has_a_server_to_sign_in_to() -> None:
    lock = _text("requirements.lock").lower()
    assert "\npsycopg2-binary==" in lock
    assert "\nflask-wtf==" in lock  # the basic-auth app of MLflow does not start without it


# --- the page ---


def _used() -> set[str]:
    given = {key for name in SERVICES for key in _service(name).get("environment", {})}
    asked = set(ASKED_FOR.findall(_text("compose.yaml"))) - {"NAME"}  # of a comment
    return given | asked | set(_server_env()) | set(_image_variables())


def test_every_variable_is_explained() -> None:
    page = _text("docs/deploying.md")
    assert {name for name in _used() if f"`{name}`" not in page} == set()


def test_no_variable_is_explained_that_nobody_reads() -> None:
    table = [line for line in _text("docs/deploying.md").splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`([A-Z][A-Z_]{3,})`", line.split(" | ")[0])}
    assert named - _used() == set()


def test_the_page_makes_every_secret_that_compose_asks_for() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", _text("compose.yaml")))
    made = _text("docs/deploying.md").partition("### 2. The secrets")[2].partition("### 3.")[0]
    assert {name for name in needed if name not in made} == set()


@pytest.mark.parametrize("page", ["docs/deploying.md", "mlflow/README.md"])
def test_a_page_links_to_files_that_exist(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", _text(page))
    assert links
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
