"""Real JSON of every command and dashboard page: of the sample crawl, with alerts, faults, pruned texts, files and directories that are
gone, changed settings, and a daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dedup.daemon.health_file import report_path
from tests.builders.command import command, run
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.html_pages import client_of

COPIED = "https://n.news.naver.com/mnews/article/901/0000100120"
COPY = "https://n.news.naver.com/mnews/article/903/0000100121"
RETURNED = "https://n.news.naver.com/mnews/article/903/0000100015"
_EARLY = "crawl/2026-03-03/903_0000100015_새솔시_차_없는_광장_조례안_진통.md"
"""The only file with the second revision of that page."""
_SALMON = "crawl/2026-03-02/908_0000100005_salmon_farms_ordered_offshore_by_2031.md"
_ALERTS = """
[channels.feed]
kind = "atom"
path = "alerts.atom"

[channels.broken]
kind = "command"
command = ["false"]

[channels.file]
kind = "command"
command = ["/bin/sh", "-c", "exec cat > message-$DEDUP_ALERT_ID.json"]

[[alerts]]
name = "major edits and mismatched articles"
on = ["change", "mismatch"]
to = ["feed", "broken"]
min_severity = "notable"

[[alerts]]
name = "everything"
on = ["change", "mismatch", "duplicate", "cluster", "faults"]
to = ["file"]
min_severity = "trivial"
"""


@dataclass(frozen=True)
class JsonOutput:
    """A JSON value that the program printed, the name of its schema, and the command or path that it belongs to."""

    schema: str
    source: str
    value: Any


@dataclass
class OutputCollector:
    """Runs commands and requests in `folder`, and collects their JSON."""

    folder: Path
    outputs: list[JsonOutput] = field(default_factory=list)
    options: tuple[str, ...] = ()

    def command(self, schema: str, *args: str, code: int = 0, words: int = 1) -> Any:
        """Run `dedup ARGS --format json`. The first `words` of ARGS are the command."""
        ran = run(self.folder, *self.options, *args, "--format", "json")
        assert ran.code == code, (args, ran.err)
        value = ran.json()
        self.outputs.append(JsonOutput(schema, " ".join(args[:words]), value))
        return value

    def lines(self, schema: str, *args: str, words: int = 1) -> None:
        """Run `dedup ARGS`, which prints JSON lines."""
        ran = run(self.folder, *args)
        assert ran.code == 0, (args, ran.err)
        self.outputs += [JsonOutput(schema, " ".join(args[:words]), json.loads(line)) for line in ran.out.splitlines()]

    def rows(self, schema: str, *args: str) -> None:
        """Run `dedup export TABLE`, as JSON lines and as a JSON array of the same rows."""
        self.lines(schema, "export", *args, words=2)
        ran = run(self.folder, "export", *args, "--format", "json")
        assert ran.code == 0, (args, ran.err)
        self.outputs += [JsonOutput(schema, f"export {args[0]}", row) for row in ran.json()]

    def page(self, schema: str, path: str, *, status: int = 200, **parameters: str) -> Any:
        """Request `PATH?format=json`."""
        with client_of(self.folder) as site:
            answer = site.get(f"{path}?{urlencode(parameters | {'format': 'json'})}")
        assert answer.status_code == status, answer.text
        self.outputs.append(JsonOutput(schema, path, answer.json()))
        return answer.json()

    def file(self, schema: str, path: Path) -> None:
        self.outputs.append(JsonOutput(schema, "file", json.loads(path.read_text("utf-8"))))

    def configure(self, old: str, new: str) -> None:
        path = self.folder / "config.toml"
        text = path.read_text("utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new, 1), "utf-8")


def collect(folder: Path) -> list[JsonOutput]:
    """Run every command and request every page. Each step prepares its own circumstances; later steps build on earlier ones."""
    collector = OutputCollector(folder)
    for step in (_set_up, _look, _alerts, _export, _dashboard, _lose_files, _operate, _reindex, _run_daemon, _serve):
        step(collector)
    return collector.outputs


def _set_up(collector: OutputCollector) -> None:
    folder = collector.folder
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    OutputCollector(elsewhere, collector.outputs).command("init", "init")
    collector.command("sample", "sample", ".")
    collector.command("completion", "completion", "bash")
    collector.configure("settle_seconds = 2.0", "settle_seconds = 0.0")
    path = folder / "config.toml"
    shipped, _, _ = path.read_text("utf-8").partition("\n# Alerts of the sample")
    path.write_text(shipped + _ALERTS, "utf-8")
    collector.command("config", "config")
    OutputCollector(elsewhere, collector.outputs).command("config", "config")
    collector.page("web-error", "/", status=503)
    (folder / "crawl" / "notes.pdf").write_bytes(b"no article")
    collector.command("scan", "scan", "--alert-on-import")
    collector.command("verify", "verify", "crawl", code=1)


def _look(collector: OutputCollector) -> None:
    collector.command("duplicates", "duplicates")
    collector.command("duplicates-pairs", "duplicates", "--pairs", "--all-revisions")
    collector.command("duplicates-pairs", "duplicates", "--pairs", "--passages")
    collector.command("similar", "similar", _SALMON)
    collector.command("why", "why", COPIED, COPY)
    collector.command("why", "why", "903_0000100133", "914_0000100134")
    collector.command("why", "why", _SALMON, COPY)
    by_one_publisher = collector.command("search", "search", "publisher:갯마루일보")
    collector.command("why", "why", by_one_publisher[0]["url"], by_one_publisher[1]["url"])
    for change in collector.command("changes", "changes", "--min-severity", "trivial"):
        collector.command("history", "history", change["url"])
        collector.command("diff", "diff", change["url"])
    collector.command("changes", "changes", "--expand-incidents", "--min-severity", "trivial")
    collector.command("diff", "diff", _SALMON, _EARLY)
    collector.command("search", "search", '"salmon pens" publisher:courier')
    collector.command("status", "status", "--faults")
    collector.command("status-check", "status", "--check", code=1)
    collector.command("report", "report")
    collector.command("report", "report", "--publisher", "해솔신문", "--since", "2026-03-01", "--until", "2026-04-01")
    collector.command("doctor", "doctor")
    sentences = [f"Sentence number {n} of the article says what happened on day {n} of the strike." for n in range(6)]
    for name, order in (("before.md", sentences), ("after.md", [*sentences[1:], sentences[0]])):
        ArticleFile(body="\n".join(order)).write(collector.folder, name)
    collector.command("diff", "diff", "before.md", "after.md")


def _alerts(collector: OutputCollector) -> None:
    folder = collector.folder
    collector.command("alerts-test", "alerts", "test", "file", words=2)
    collector.command("alerts-send", "alerts", "send", code=3, words=2)
    for alert in collector.command("alerts-list", "alerts", "list", "--limit", "1000", words=2)[:3]:
        collector.command("alerts-show", "alerts", "show", alert["id"], words=2)
    collector.command("alerts-retry", "alerts", "retry", alert["id"], words=2)
    for path in sorted(folder.glob("message-*.json")):
        collector.file("message", path)


def _export(collector: OutputCollector) -> None:
    collector.rows("export-articles", "articles", "--all-revisions")
    collector.rows("export-articles", "articles", "--no-body")
    collector.rows("export-matches", "matches")
    collector.rows("export-clusters", "clusters")
    collector.rows("export-changes", "changes")
    collector.rows("export-keep", "keep")
    collector.rows("export-keep", "drop")


def _dashboard(collector: OutputCollector) -> None:
    clusters = collector.page("web-clusters", "/clusters", order="largest", publisher="가온통신")["clusters"]
    collector.page("web-overview", "/")
    for url in (clusters[0]["url"], RETURNED):
        collector.page("web-cluster", "/cluster", url=url)
        collector.page("web-page", "/page", url=url)
    collector.page("web-pages", "/pages")
    collector.page("web-compare", "/compare", url=RETURNED)
    collector.page("web-pair", "/pair", a=COPIED, b=COPY)
    collector.page("web-changes", "/changes", kind="substantive", min_severity="minor")
    collector.page("web-checks", "/checks")
    collector.page("web-faults", "/faults")
    collector.page("web-search", "/search", q="salmon")
    collector.page("web-search", "/search", q='"')
    collector.page("web-search", "/search")
    collector.page("web-status", "/status")
    for name in ("cluster", "page", "compare", "pair"):
        collector.page(f"web-{name}", f"/{name}")
    collector.page("web-error", "/page", status=404, url="https://none.example/")


def _lose_files(collector: OutputCollector) -> None:
    """A file is gone, its revision pruned; a second crawl directory is added and absent later."""
    folder = collector.folder
    (folder / _EARLY).unlink()
    collector.command("scan", "scan")
    collector.command("prune", "prune")
    collector.configure('keep = "all"', 'keep = ["first", "last"]')
    collector.command("prune", "prune", "--dry-run")
    collector.command("prune", "prune")
    collector.command("history", "history", RETURNED)
    collector.command("diff", "diff", RETURNED, "--from", "1", "--to", "2")
    collector.command("search", "search", "광장")
    collector.command("duplicates-pairs", "duplicates", "--pairs", "--passages", "--all-revisions")
    collector.command("status", "status")
    collector.rows("export-articles", "articles", "--all-revisions")
    collector.lines("dump", "dump", "--logical")
    collector.page("web-page", "/page", url=RETURNED)
    collector.page("web-compare", "/compare", url=RETURNED)
    collector.page("web-search", "/search", q="광장")
    collector.page("web-error", "/pair", status=404, a=RETURNED, a_revision="9", b=COPY)
    ArticleFile().write(folder / "second")
    collector.configure('directories = ["crawl"]', 'directories = ["crawl", "second"]')
    collector.command("scan", "scan", "second")
    collector.command("scan", "scan", "crawl/2026-03-02")
    collector.command("status", "status")
    shutil.move(folder / "second", folder / "away")
    collector.command("scan", "scan", code=3)
    collector.command("doctor", "doctor", "--quick", code=1)
    collector.command("status", "status")
    collector.command("directories", "directories")


def _operate(collector: OutputCollector) -> None:
    collector.configure('directories = ["crawl", "second"]', 'directories = ["crawl"]')
    collector.command("directories-move", "directories", "move", "second", "away", words=2)
    collector.command("directories-retire", "directories", "retire", "--yes", "away", words=2)
    collector.command("directories", "directories", "list", words=2)
    (passage, *_) = collector.command("boilerplate", "boilerplate", "list", words=2)
    collector.command("boilerplate", "boilerplate", "allow", passage["name"], words=2)
    collector.command("boilerplate", "boilerplate", "mask", passage["name"], words=2)
    collector.command("backup", "backup", "backup.db")
    collector.command("restore", "restore", "backup.db")
    collector.command("doctor", "doctor", "--repair", "--quick")


def _reindex(collector: OutputCollector) -> None:
    for step in ("matches", "urls", "changes", "readings", "summaries", "search"):
        collector.command("reindex", "reindex", f"--{step}")
    collector.configure('published_at = "', 'published_at = "Etc/GMT-3" # "')
    collector.command("status", "status")
    collector.command("why", "why", COPIED, COPY)
    collector.configure('published_at = "Etc/GMT-3" # "', 'published_at = "')


def _run_daemon(collector: OutputCollector) -> None:
    """A daemon, one of whose crawl directories is missing. It is killed in the end."""
    folder = collector.folder
    message = folder / "daemon-message.json"
    command = json.dumps(["/bin/sh", "-c", 'cat > "$1.part" && mv "$1.part" "$1"', "sh", str(message)])
    alerting = f'[[alerts]]\nname = "all"\non = ["daemon"]\nto = ["file"]\n[channels.file]\nkind = "command"\ncommand = {command}'
    database = folder / "watched.db"
    options = ("--format", "json", str(folder / "crawl"), str(folder / "missing"))
    watched = OutputCollector(folder, collector.outputs, ("--config", f"{database}.toml"))
    with watching(folder / "crawl", database, *options, settle=0.0, more=alerting) as daemon:
        daemon.wait_until(lambda: daemon.report().last_scan_at is not None and message.exists())
        watched.command("status", "status")
        watched.command("status-check", "status", "--check", code=1)
        watched.file("health", Path(report_path(str(database))))
        daemon.process.kill()
        daemon.wait()
    collector.outputs += [JsonOutput("log", "watch", json.loads(line)) for line in daemon.log.decode().splitlines()]
    watched.file("message", message)
    watched.command("status", "status")


def _serve(collector: OutputCollector) -> None:
    with subprocess.Popen(
        [*command("serve", "--listen", "127.0.0.1:0", "--format", "json")], cwd=collector.folder, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        collector.outputs.append(JsonOutput("serve", "serve", json.loads(process.stdout.readline())))
        process.kill()
