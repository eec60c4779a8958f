"""`init`, `config`, `sample`: getting started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, print_json, remark
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.files.protected import Protected

_SAMPLE_ALERTS = """
# What the sample tells of, in a file for feed readers, once 'dedup alerts send' or 'dedup watch' sends it.

[channels.feed]
kind = "atom"
path = "alerts.atom"

[[alerts]]
name = "grave edits, and articles that are not what they claim"
on = ["change", "mismatch"]
to = ["feed"]
min_severity = "notable"
"""


@click.command()
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False))
@formats("text", "json")
@common
@click.pass_obj
def init(options: Common, directory: str | None, form: str) -> None:
    """Write a commented config.toml for a crawl DIRECTORY into the current directory.

    An existing file is never written over.
    """
    from dedup.errors import FileExistsInWayError, OutputRefusedError
    from dedup.files.protected import Protected

    place = os.path.abspath("config.toml")
    if directory is not None and (problem := Protected("", (directory,)).problem(place)):
        raise OutputRefusedError(file=place, problem=f"{problem}; run this in a folder outside")
    shipped = files("dedup").joinpath("share/config.toml").read_text("utf-8")
    if directory is not None:
        path = os.path.abspath(directory) if os.path.isabs(directory) else directory
        if path.startswith("~"):
            path = os.path.join(".", path)  # a name, not somebody's home
        if not _is_text(path):
            raise click.BadParameter(f"{printable(path)} is not UTF-8, which config.toml must be; name it to 'dedup scan' instead")
        shipped = re.sub(r"(?m)^directories = .*?(?=\s+#)", lambda _: f"directories = [{_toml(path)}]", shipped, count=1)
    try:
        with open("config.toml", "x", encoding="utf-8") as file:
            file.write(shipped)
    except FileExistsError:
        raise FileExistsInWayError(path=place) from None
    if form == "json":
        print_json({"config": place})
    else:
        remark(options, "Wrote config.toml. 'dedup scan' takes the directory in, 'dedup config' shows what is in force.")


def _is_text(value: str) -> bool:
    """Whether UTF-8 can hold it; names of files need not be text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _toml(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


@click.command()
@formats("text", "json")
@common
@click.pass_obj
def config(options: Common, form: str) -> None:
    """Print the configuration in force, and where each value came from.

    It is read from --config, else from ./config.toml, else from $XDG_CONFIG_HOME/dedup/config.toml; what is not set there
    has its default. Relative paths count from the file.
    """
    from dedup.config import flatten, masked

    loaded = options.load()
    rows = [(key, masked(value) if key == "web.token" else _plain(value), loaded.origins[key]) for key, value in flatten(loaded.settings)]
    if form == "json":
        file = str(loaded.file.absolute()) if loaded.file else None
        print_json({"file": file, "settings": {k: {"value": v, "from": o} for k, v, o in rows}})
        return
    click.echo(f"# {loaded.file.absolute() if loaded.file else 'no configuration file; defaults'}")
    for key, value, origin in rows:
        lines = [f"{key} = "] if isinstance(value, list) and len(str(value)) > 100 else [f"{key} = {value!r}"]
        if lines[0].endswith("= "):
            lines += [f"    {entry}" for entry in value]
        click.echo(printable(lines[0]) + click.style(f"  # {printable(origin)}", dim=True))
        for line in lines[1:]:
            click.echo(printable(line))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if hasattr(value, "shown"):
        return _plain(value.shown())
    if hasattr(value, "model_dump"):
        dumped: Mapping[str, Any] = value.model_dump()
        return dict(dumped)
    return value


@click.command()
@click.argument("directory", type=click.Path())
@formats("text", "json")
@common
@click.pass_obj
def sample(options: Common, directory: str, form: str) -> None:
    """Lay the sample crawl that ships with the program out in DIRECTORY, with a config.toml for it.

    Files that are there already and differ are left alone and named.
    """
    target = Path(directory)
    loaded = options.load()
    protected = loaded.settings.protected(file=loaded.file)
    with as_file(files("dedup").joinpath("share/sample/crawl")) as source:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            _lay_out(protected, target / "crawl" / path.relative_to(source), path.read_bytes())
    configuration = target / "config.toml"
    if not os.path.lexists(configuration):
        shipped = files("dedup").joinpath("share/config.toml").read_text("utf-8")
        configured = re.sub(r"(?m)^directories = .*?(?=\s+#)", 'directories = ["crawl"]', shipped, count=1)
        _lay_out(protected, configuration, (configured + _SAMPLE_ALERTS).encode())
    if form == "json":
        print_json({"crawl": os.path.abspath(target / "crawl"), "config": os.path.abspath(configuration)})
    else:
        remark(options, f"The sample crawl is in {directory}; go there and run 'dedup scan'.")


def _lay_out(protected: Protected, path: Path, content: bytes) -> None:
    """Make a file, unless it is there with that content. Raises FileExistsInWayError and OutputRefusedError."""
    from dedup.errors import FileExistsInWayError, OutputRefusedError

    if os.path.lexists(path):
        if path.read_bytes() != content:
            raise FileExistsInWayError(path=path)
        return
    if problem := protected.problem(str(path)):
        raise OutputRefusedError(file=path, problem=problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)
