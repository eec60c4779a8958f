"""`Containerfile` and `compose.yaml`, read, and carried out in a plain directory in place of a container's root."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.builders.daemon import Daemon
from tests.builders.project import PACKAGE, TOP

OPERATIONS = (TOP / "docs" / "operations.md").read_text("utf-8")
CRAWL = "/srv/crawl"
CONFIG = "/etc/dedup/config.toml"
DATA = "/var/lib/dedup"
DASHBOARD_PORT = 8765


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Containerfile: its name, its options (`--from=build`), and the rest."""

    name: str
    options: Mapping[str, str]
    value: str

    def words(self) -> list[str]:
        """The value as a list: JSON, or words separated by blanks."""
        return json.loads(self.value) if self.value.startswith("[") else shlex.split(self.value)


@dataclass(frozen=True)
class Stage:
    """The instructions from one FROM to the next."""

    image: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        return [i for i in self.instructions if i.name == name]

    def one(self, name: str) -> Instruction:
        (found,) = self.all(name)
        return found

    def variables(self, name: str) -> dict[str, str]:
        """The NAME=VALUE of all ARG or ENV instructions."""
        return dict(word.split("=", 1) for i in self.all(name) for word in shlex.split(i.value))


def parse_containerfile(text: str) -> list[Stage]:
    """The stages of a Containerfile."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    stages: list[list[Instruction]] = []
    for line in filter(str.strip, lines):
        name, rest = line.split(maxsplit=1)
        options = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            options[match[1]], rest = match[2], rest[match.end() :]
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, options, rest.strip()))
    return [Stage(first.value.split()[0], tuple(rest)) for first, *rest in stages]


BUILD, IMAGE = parse_containerfile((TOP / "Containerfile").read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((TOP / "compose.yaml").read_text("utf-8"))
SERVICE: dict[str, Any] = COMPOSE["services"]["dedup"]
MOUNTS: dict[str, dict[str, Any]] = {mount["target"]: mount for mount in SERVICE["volumes"]}


def health_command() -> str:
    """The shell command of the image's health check."""
    return IMAGE.one("HEALTHCHECK").value.removeprefix("CMD ")


def documented(language: str, beginning: str) -> str:
    """The block of docs/operations.md in a language that begins with these words."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", OPERATIONS, re.MULTILINE | re.DOTALL)
    (found,) = (block.replace("\n" + indent, "\n") for indent, block in blocks if block.strip().startswith(beginning))
    return str(found)


@dataclass(frozen=True)
class Container:
    """A directory with the files that the image and the mounts put into a container's root."""

    root: Path

    def inside(self, path: str) -> Path:
        """Where a path of the container is."""
        return self.root / path.lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """ENV of the image, with its paths here, and more variables."""
        environment = dict(os.environ)
        for name, value in IMAGE.variables("ENV").items():
            first, _, rest = value.partition(":")
            environment[name] = ":".join([str(self.inside(first)), *([os.environ[rest.removeprefix("$")]] if rest else [])])
        return environment | more

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command, as `docker exec` or a health check runs it."""
        return subprocess.run(
            ["sh", "-c", command],
            env=self.environment(),
            cwd=self.inside(IMAGE.one("WORKDIR").value),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def running(self, **environment: str) -> Iterator[Daemon]:
        """The container's process, started as the engine does; killed in the end if it has not left."""
        command = [*IMAGE.one("ENTRYPOINT").words(), *SERVICE["command"]]
        workdir = self.inside(IMAGE.one("WORKDIR").value)
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=self.environment(**environment), cwd=workdir) as process:
            try:
                yield Daemon(process, self.inside(DATA) / "dedup.db")
            finally:
                process.kill()

    def files_outside_the_volume(self) -> dict[str, tuple[int, bytes]]:
        """Each file that a container could only write if its root were writable: modification time and content."""
        found = (p for p in self.root.rglob("*") if p.is_file() and not p.is_relative_to(self.inside(DATA)))
        return {str(p.relative_to(self.root)): (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


def lay_out(root: Path, *, dashboard_port: int | None = None) -> Container:
    """A container of the sample crawl, made by the steps of Containerfile, compose.yaml and docs/operations.md.

    With `dashboard_port`, the configuration has the documented keys for the dashboard, but this port.
    """
    container = Container(root)
    program = container.inside("/opt/dedup/bin/dedup")
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dedup "$@"\n')
    program.chmod(0o755)
    identity = {"USER_ID": str(os.getuid()), "GROUP_ID": str(os.getgid())}
    container.inside(DATA).parent.mkdir(parents=True)
    for run in IMAGE.all("RUN"):
        subprocess.run(["sh", "-c", run.value.replace(DATA, str(container.inside(DATA)))], env=os.environ | identity, check=True)
    shutil.copytree(PACKAGE / "share" / "sample" / "crawl", container.inside(CRAWL))
    config = container.inside(CONFIG)
    config.parent.mkdir(parents=True)
    text = written_configuration(config.parent)
    if dashboard_port is not None:
        text = _with_dashboard(text, dashboard_port)
    for path in (CRAWL, DATA):
        text = text.replace(f'"{path}', f'"{container.inside(path)}')
    config.write_text(text, "utf-8")
    return container


def written_configuration(folder: Path) -> str:
    """What the documented command writes into container.toml."""
    shutil.copy(TOP / "config.toml", folder)
    subprocess.run(["sh", "-c", documented("sh", "sed")], cwd=folder, check=True)
    (folder / "config.toml").unlink()
    source = folder / str(MOUNTS[CONFIG]["source"])
    text = source.read_text("utf-8")
    source.unlink()
    return text


def _with_dashboard(configuration: str, port: int) -> str:
    others, heading, web = configuration.partition("\n[web]\n")
    for key, _, value in (line.partition(" = ") for line in documented("toml", "[web]").splitlines()[1:]):
        web, count = re.subn(rf"(?m)^{key} = \S+", f"{key} = {value}", web, count=1)
        assert count == 1, key
    return others + heading + web.replace(f':{DASHBOARD_PORT}"', f':{port}"')
