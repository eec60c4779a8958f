"""The container: every path, command, option and variable of Containerfile, compose.yaml and their recipe is real."""

from __future__ import annotations

import ast
import fnmatch
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import click
import pytest

from dedup.cli import cli
from dedup.cli.man_pages import render_pages
from dedup.cli.watch import SHUTDOWN_SECONDS
from dedup.config import load
from dedup.store import open_database
from tests.builders import container
from tests.builders.alerts import free_port
from tests.builders.container import BUILD, COMPOSE, CONFIG, CRAWL, DASHBOARD_PORT, DATA, IMAGE, MOUNTS, OPERATIONS, SERVICE, lay_out
from tests.builders.project import SOURCES, TOP
from tests.builders.web_client import get

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))
VARIABLE = re.compile(r"\$\{?([A-Z_]+)(?::([-?])([^}]*))?\}?")
"""A variable of a Containerfile, a shell, or of compose.yaml: name, and what it has in place of a missing one."""


def copied() -> list[str]:
    return [source for copy in BUILD.all("COPY") for source in copy.words()[:-1]]


def commands(program: str) -> list[list[str]]:
    """The words of every documented command that begins with `docker PROGRAM`."""
    lines = OPERATIONS.replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.strip().startswith(f"docker {program} ")]
    assert found, program
    return found


def parse(words: list[str]) -> click.Context:
    """Parse the words after `dedup` as the program does; raises UsageError for what it does not know."""
    context = cli.make_context("dedup", list(words))
    name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    return command.make_context(name, rest, parent=context)


# Files


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_there_and_not_ignored(source: str) -> None:
    assert (TOP / source).exists()
    decision = ""
    for line in (TOP / ".dockerignore").read_text("utf-8").splitlines():
        if not line.startswith("#") and fnmatch.fnmatch(source, line.removeprefix("!")):
            decision = line
    assert decision.startswith("!")


def test_all_that_a_build_reads_is_copied() -> None:
    project, hatch = PROJECT["project"], PROJECT["tool"]["hatch"]
    assert "custom" in hatch["build"]["targets"]["wheel"]["hooks"]
    needed = {
        "pyproject.toml",
        "hatch_build.py",
        project["readme"],
        *project["license-files"],
        *hatch["build"]["targets"]["wheel"]["packages"],
    }
    linked = {os.path.relpath(path.resolve(), TOP) for path in (TOP / "dedup").rglob("*") if path.is_symlink()}
    assert set(copied()) == needed | linked
    assert hatch["version"]["path"].split("/")[0] in needed


def test_the_stages_use_one_python_that_the_package_supports() -> None:
    assert BUILD.image == IMAGE.image
    version = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim", IMAGE.image)
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]


def test_the_extra_that_is_installed_is_one() -> None:
    (extras,) = (BUILD.variables("ARG")["EXTRAS"],)
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    assert '".[$EXTRAS]"' in BUILD.one("RUN").value


def test_the_environment_is_copied_from_where_it_is_made() -> None:
    (copy,) = IMAGE.all("COPY")
    assert copy.options == {"from": "build"}
    source, target = copy.words()
    assert source == target  # a virtual environment works at its own path only
    assert f"venv {source} " in BUILD.one("RUN").value
    assert IMAGE.variables("ENV")["PATH"] == f"{source}/bin:$PATH"


@pytest.mark.system
def test_what_is_copied_makes_a_wheel_with_manual_pages(tmp_path: Path) -> None:
    """Needs hatchling, which pip fetches."""
    for source in copied():
        subprocess.run(["cp", "-r", TOP / source, tmp_path], check=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", "dist", "."], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith("crawl_dedup-")
    assert {name.rpartition("/share/man/man1/")[2] for name in names if "/share/man/man1/" in name} == set(render_pages(""))
    assert "dedup/share/config.toml" in names


# Variables


def test_every_variable_of_the_containerfile_is_declared_and_used() -> None:
    for stage in (BUILD, IMAGE):
        used = {m[1] for i in stage.instructions for m in VARIABLE.finditer(i.value)} - {"PATH"}
        assert used == stage.variables("ARG").keys()


def test_every_variable_of_the_container_is_read() -> None:
    """By the program, by Python (HOME), by the kernel's search for programs (PATH), or by the documented configuration."""
    constants = {n.value for path in SOURCES for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant)}
    assert IMAGE.variables("ENV").keys() - {"PATH", "HOME"} <= constants
    for name in SERVICE["environment"]:
        assert f'"env:{name}"' in OPERATIONS


def test_every_variable_of_compose_is_documented_and_goes_where_it_is_read() -> None:
    text = (TOP / "compose.yaml").read_text("utf-8")
    names = {m[1] for m in VARIABLE.finditer(text)}
    assert names == set(re.findall(r"DEDUP_[A-Z]+", OPERATIONS))
    assert names == set(re.findall(r"DEDUP_[A-Z]+", text.partition("services:")[0]))
    for name, value in SERVICE["build"]["args"].items():
        match = VARIABLE.fullmatch(value)
        assert match
        assert IMAGE.variables("ARG")[name] == match[3]
    assert SERVICE["build"]["args"].keys() == IMAGE.variables("ARG").keys()


# Paths, users, signals


def test_the_user_is_not_root() -> None:
    assert IMAGE.one("USER").value == "$USER_ID:$GROUP_ID"
    assert all(int(IMAGE.variables("ARG")[name]) >= 1000 for name in ("USER_ID", "GROUP_ID"))
    assert SERVICE.keys() & {"user", "privileged", "cap_add"} == set()


def test_only_the_volume_can_be_written() -> None:
    assert MOUNTS.keys() == {CRAWL, CONFIG, DATA}
    assert {target for target, mount in MOUNTS.items() if not mount.get("read_only")} == {DATA} == set(IMAGE.one("VOLUME").words())
    assert SERVICE["read_only"] is True
    assert COMPOSE["volumes"].keys() == {MOUNTS[DATA]["source"]}
    assert IMAGE.one("WORKDIR").value == DATA


def test_compose_builds_the_image_and_runs_it_in_the_same_way() -> None:
    assert (TOP / SERVICE["build"]["context"] / SERVICE["build"]["dockerfile"]).samefile(TOP / "Containerfile")
    assert SERVICE["command"] == IMAGE.one("CMD").words()
    assert SERVICE["stop_signal"] == IMAGE.one("STOPSIGNAL").value
    assert SERVICE["healthcheck"]["test"] == ["CMD-SHELL", container.health_command()]
    options = IMAGE.one("HEALTHCHECK").options
    assert {name.replace("-", "_"): value for name, value in options.items()} == {
        name: str(value) for name, value in SERVICE["healthcheck"].items() if name != "test"
    }


def test_the_daemon_has_time_to_stop() -> None:
    grace = float(SERVICE["stop_grace_period"].removesuffix("s"))
    assert grace > SHUTDOWN_SECONDS
    assert SERVICE["init"] is True  # the alarm after SHUTDOWN_SECONDS does not end a PID 1


def test_the_published_port_is_that_of_the_dashboard() -> None:
    (port,) = SERVICE["ports"]
    assert port == f"127.0.0.1:{DASHBOARD_PORT}:{DASHBOARD_PORT}"
    assert f'listen = "0.0.0.0:{DASHBOARD_PORT}"' in container.documented("toml", "[web]")


# Commands


def test_every_documented_command_in_the_container_parses() -> None:
    run = [words[3:] for words in commands("compose run")]
    execute = [words[3:] for words in commands("compose exec")]
    assert [words[:2] for words in run] == [["--rm", "dedup"]] * len(run)
    assert [words[:2] for words in execute] == [["dedup", "dedup"]] * len(execute)
    shells = [shlex.split(container.health_command().partition("||")[0])[1:]]
    for words in [SERVICE["command"], *(w[2:] for w in run + execute), *shells]:
        assert parse(words).command.name in cli.list_commands(click.Context(cli))
    assert "dedup" in COMPOSE["services"]
    assert IMAGE.one("ENTRYPOINT").words() == ["dedup"]


def test_a_wrong_option_would_not_parse() -> None:
    with pytest.raises(click.UsageError):
        parse(["status", "--checks"])


def test_the_commands_without_compose_do_what_compose_does() -> None:
    (build,), (run,) = commands("build"), commands("run")
    arguments = [word.partition("=")[0] for before, word in itertools.pairwise(build) if before == "--build-arg"]
    assert set(arguments) == SERVICE["build"]["args"].keys()
    assert build[build.index("--file") + 1] == SERVICE["build"]["dockerfile"]
    assert build[build.index("--tag") + 1] == run[-1] == SERVICE["image"]
    volumes = [word.split(":") for before, word in itertools.pairwise(run) if before == "--volume"]
    assert {target: rest == ["ro"] for _, target, *rest in volumes} == {t: m.get("read_only", False) for t, m in MOUNTS.items()}
    assert "--init" in run
    assert "--read-only" in run
    assert run[run.index("--tmpfs") + 1] == SERVICE["tmpfs"][0]
    assert [run[run.index("--cap-drop") + 1]] == SERVICE["cap_drop"]
    assert [run[run.index("--security-opt") + 1]] == SERVICE["security_opt"]
    assert f"{run[run.index('--stop-timeout') + 1]}s" == SERVICE["stop_grace_period"]
    assert run[run.index("--restart") + 1] == SERVICE["restart"]


def test_the_documented_environment_file_names_what_compose_reads(tmp_path: Path) -> None:
    script = container.documented("sh", "cat > .env").replace("crawler", "root")
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    values = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    required = {m[1] for m in VARIABLE.finditer((TOP / "compose.yaml").read_text("utf-8")) if m[2] == "?"}
    assert required <= values.keys()
    assert (values["DEDUP_UID"], values["DEDUP_GID"]) == ("0", "0")


# The daemon


def test_the_documented_configuration_has_the_paths_of_the_container(tmp_path: Path) -> None:
    text = container.written_configuration(tmp_path)
    (tmp_path / "config.toml").write_text(text, "utf-8")
    settings = load(str(tmp_path / "config.toml")).settings
    assert settings.crawl.directories == (CRAWL,)
    assert settings.database.path == f"{DATA}/dedup.db"


@pytest.mark.system
@pytest.mark.slow
def test_the_daemon_runs_reports_its_health_and_stops(tmp_path: Path) -> None:
    """On the sample crawl. It writes nothing outside the volume."""
    made = lay_out(tmp_path)
    before = made.files_outside_the_volume()
    assert made.shell(container.health_command()).returncode == 1
    with made.running() as daemon:
        daemon.wait_for_log(f"watching {made.inside(CRAWL)}")
        daemon.wait_until(lambda: daemon.recorded() == 83)  # the files settle two seconds after they were copied
        checked = made.shell(container.health_command())
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "healthy\n", "")
        assert "87 files" in made.shell("dedup status").stdout
        number = signal.Signals[IMAGE.one("STOPSIGNAL").value]
        assert daemon.leave(number, float(SERVICE["stop_grace_period"].removesuffix("s"))) == 0
    checked = made.shell(container.health_command())
    assert (checked.returncode, checked.stdout) == (1, "no daemon is running\n")
    assert made.files_outside_the_volume() == before
    with open_database(str(made.inside(DATA) / "dedup.db")):
        pass


@pytest.mark.slow
def test_the_documented_dashboard_is_served_with_the_token_of_the_environment(tmp_path: Path) -> None:
    port = free_port()
    made = lay_out(tmp_path, dashboard_port=port)
    with made.running(DEDUP_TOKEN="hush-hush") as daemon:
        daemon.wait_for_log("watching ")
        assert get(f"http://127.0.0.1:{port}/")[0] == 401
        assert get(f"http://127.0.0.1:{port}/", Authorization="Bearer hush-hush")[0] == 200
