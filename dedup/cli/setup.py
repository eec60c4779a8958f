"""`init`, `config` and `sample`: configuration and sample data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_json, print_note
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.files.protected import ProtectedFiles

_SAMPLE_ALERTS = """
# Alerts of the sample, written to an Atom file by 'dedup alerts send' or 'dedup watch'.

[channels.feed]
kind = "atom"
path = "alerts.atom"

[[alerts]]
name = "major edits and mismatched articles"
on = ["change", "mismatch"]
to = ["feed"]
min_severity = "notable"
"""


@click.command()
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False))
@format_option("text", "json")
@common_options
@click.pass_obj
def init(options: CommonOptions, directory: str | None, output_format: str) -> None:
    """Write a config.toml for a crawl directory.

    The file goes into the current directory. It contains every setting with its default and a comment, and names DIRECTORY
    as the crawl directory. An existing config.toml is not replaced: the command then exits with 3.

    \b
    Examples:
      dedup init crawl
      dedup init crawl --format json
    """
    from dedup.errors import OutputExistsError, OutputRefusedError
    from dedup.files.protected import ProtectedFiles

    config_path = os.path.abspath("config.toml")
    if directory is not None and (problem := ProtectedFiles("", (directory,)).find_problem(config_path)):
        raise OutputRefusedError(file=config_path, problem=f"{problem}; run this in a folder outside")
    default_config = files("dedup").joinpath("share/config.toml").read_text("utf-8")
    if directory is not None:
        path = os.path.abspath(directory) if os.path.isabs(directory) else directory
        if path.startswith("~"):
            path = os.path.join(".", path)  # a folder of that name, not a home directory
        if not _is_text(path):
            raise click.BadParameter(
                f"{to_printable(path)} is not UTF-8 and cannot be written in config.toml; pass it to 'dedup scan' instead"
            )
        default_config = re.sub(
            r"(?m)^directories = .*?(?=\s+#)", lambda _: f"directories = [{_format_toml_string(path)}]", default_config, count=1
        )
    try:
        with open("config.toml", "x", encoding="utf-8") as file:
            file.write(default_config)
    except FileExistsError:
        raise OutputExistsError(path=config_path) from None
    if output_format == "json":
        print_json({"config": config_path})
    else:
        print_note(options, "Wrote config.toml. Next: 'dedup scan' records the articles, 'dedup config' prints the settings.")


def _is_text(value: str) -> bool:
    """Return whether UTF-8 can encode a file name; bytes that are not text are kept as surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _format_toml_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


@click.command()
@format_option("text", "json")
@common_options
@click.pass_obj
def config(options: CommonOptions, output_format: str) -> None:
    """Print the settings in force and their origin.

    Each line gives a setting, its value, and where the value comes from: the file, the command line, or the default. Secrets
    are masked. Settings are read from the first of --config, ./config.toml and $XDG_CONFIG_HOME/dedup/config.toml.
    A relative path in the file is relative to the file's folder.

    \b
    Examples:
      dedup config
      dedup --config /etc/dedup/config.toml config --format json
    """
    from dedup.config import flatten, mask_secret

    loaded = options.load()
    rows = [
        (key, mask_secret(value) if key == "web.token" else _plain_value(value), loaded.origins[key])
        for key, value in flatten(loaded.settings)
    ]
    if output_format == "json":
        file = str(loaded.file.absolute()) if loaded.file else None
        print_json({"file": file, "settings": {k: {"value": v, "origin": o} for k, v, o in rows}})
        return
    click.echo(f"# {loaded.file.absolute() if loaded.file else 'no configuration file; defaults'}")
    for key, value, origin in rows:
        lines = [f"{key} = "] if isinstance(value, list) and len(str(value)) > 100 else [f"{key} = {value!r}"]
        if lines[0].endswith("= "):
            lines += [f"    {entry}" for entry in value]
        click.echo(to_printable(lines[0]) + click.style(f"  # {to_printable(origin)}", dim=True))
        for line in lines[1:]:
            click.echo(to_printable(line))


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_value(v) for v in value]
    if isinstance(value, dict):
        return {name: _plain_value(v) for name, v in value.items()}
    if hasattr(value, "to_masked_dict"):
        return _plain_value(value.to_masked_dict())
    if hasattr(value, "model_dump"):
        dumped: Mapping[str, Any] = value.model_dump()
        return dict(dumped)
    return value


@click.command()
@click.argument("directory", type=click.Path())
@format_option("text", "json")
@common_options
@click.pass_obj
def sample(options: CommonOptions, directory: str, output_format: str) -> None:
    """Copy the sample crawl into a directory.

    Creates DIRECTORY/crawl with about 90 article files, and DIRECTORY/config.toml. If a file of the sample exists with other
    content, it is left unchanged and the command exits with 3.

    \b
    Examples:
      dedup sample demo && cd demo && dedup scan
      dedup sample /tmp/demo
    """
    target = Path(directory)
    loaded = options.load()
    protected = loaded.settings.protected_paths(file=loaded.file)
    with as_file(files("dedup").joinpath("share/sample/crawl")) as source:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            _write_sample_file(protected, target / "crawl" / path.relative_to(source), path.read_bytes())
    configuration = target / "config.toml"
    if not os.path.lexists(configuration):
        default_config = files("dedup").joinpath("share/config.toml").read_text("utf-8")
        config_text = re.sub(r"(?m)^directories = .*?(?=\s+#)", 'directories = ["crawl"]', default_config, count=1)
        _write_sample_file(protected, configuration, (config_text + _SAMPLE_ALERTS).encode())
    if output_format == "json":
        print_json({"crawl": os.path.abspath(target / "crawl"), "config": os.path.abspath(configuration)})
    else:
        print_note(options, f"The sample crawl is in {directory}. Change into it and run 'dedup scan'.")


def _write_sample_file(protected: ProtectedFiles, path: Path, content: bytes) -> None:
    """Write a file unless it exists with this content. Raises OutputExistsError if it has other content, and OutputRefusedError."""
    from dedup.errors import OutputExistsError, OutputRefusedError

    if os.path.lexists(path):
        if path.read_bytes() != content:
            raise OutputExistsError(path=path)
        return
    if problem := protected.find_problem(str(path)):
        raise OutputRefusedError(file=path, problem=problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)
