"""Errors that the program raises on purpose, each with its `message` for people and its `exit_code`.

A message says what happened, where, and what to do. It becomes the docstring of its class; it is not written as one, because Python
removes docstrings under -OO.

Exit codes: 0 success, 1 findings of a command that was asked to fail on them, 2 usage or configuration, 3 the work could not be done,
130 interrupted.
"""

from __future__ import annotations


class ShutdownRequested(BaseException):
    """The process shuts down and does not wait for the current work. Its transaction is rolled back, and the next start repeats it.

    Not an Exception, so that no handler of failures catches it.
    """


class DedupError(Exception):
    """The work could not be done."""

    message = "The work could not be done."
    exit_code = 3

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.message

    def __init__(self, **facts: object) -> None:
        """`facts` fill the placeholders of the message."""
        super().__init__(self.message.format(**facts))
        self.facts = facts


class ConfigError(DedupError):
    message = "{file}: {key}: {problem}"
    exit_code = 2


class ConfigFileError(DedupError):
    message = "{file}: {problem}"
    exit_code = 2


class NoDirectoryError(DedupError):
    message = "No crawl directory is configured; name one on the command line, or write a configuration with 'dedup init DIR'."
    exit_code = 2


class DirectoriesOverlapError(DedupError):
    message = "The crawl directories {first} and {second} overlap; a file would be recorded twice. Keep the outer one."
    exit_code = 2


class DirectoryInsideError(DedupError):
    message = (
        "{inner} lies inside the crawl directory {outer}, which records its files. Name {outer} instead; 'dedup scan {inner}' scans only"
        " that part. 'dedup directories retire {outer}' retires the whole directory."
    )

    exit_code = 2


class DirectoryContainsError(DedupError):
    message = (
        "{outer} contains the crawl directory {inner}; files would be recorded twice. Name {inner}, or run"
        " 'dedup directories retire {inner}'."
    )

    exit_code = 2


class DirectoryMovedError(DedupError):
    message = (
        "{new} holds the files of {old}, which no longer exists; run 'dedup directories move {old} {new}' or"
        " 'dedup directories retire {old}'."
    )

    exit_code = 2


class DatabaseInsideError(DedupError):
    message = (
        "The database {database} lies inside the crawl directory {directory}, where dedup never writes. Move it elsewhere, and name it"
        " with --database or [database] path."
    )

    exit_code = 2


class SubdirectoryMissingError(DedupError):
    message = "{path} is not a directory, and no file below it is recorded in the crawl directory {directory}."

    exit_code = 2


class UnknownDirectoryError(DedupError):
    message = "The database has no crawl directory {path}; it has {available}."

    exit_code = 2


class DirectoryMoveRefusedError(DedupError):
    message = "The crawl directory {old} was not moved to {new}: {problem}."

    exit_code = 2


class DirectoryConfiguredError(DedupError):
    message = "{path} is configured, so the next scan would record its files again. Remove it from [crawl] directories first."

    exit_code = 2


class OutputExistsError(DedupError):
    message = "{path} already exists and was not changed; move it away or choose another name."


class DirectoryAbsentError(DedupError):
    message = (
        "Missing or not mounted: {paths}. No file in it was marked as gone. Mount it; if it was renamed or retired, see"
        " 'dedup directories --help'."
    )


class NoAbsentMountError(DedupError):
    message = "{path} is not a missing mount of a crawl directory; 'dedup status' lists the missing ones."

    exit_code = 2


class DatabaseMissingError(DedupError):
    message = "There is no database at {path}; 'dedup scan' creates one."


class DatabaseUnreadableError(DedupError):
    message = "The database {path} cannot be opened: {problem}."


class DatabaseDamagedError(DatabaseUnreadableError):
    message = "The database {path} is damaged: {problem}. No file was partly recorded. 'dedup doctor' reports what is lost and what to do."


class ForeignWalError(DatabaseUnreadableError):
    message = (
        "The log {log} belongs to another database than {path} and would destroy it; nothing was changed. 'dedup doctor' explains what to"
        " do."
    )


class DatabaseNewerError(DedupError):
    message = "The database {path} was written by a newer version of dedup (it contains {unknown}); install that version."


class DatabaseTooOldError(DedupError):
    message = (
        "The database {path} was written by a version of dedup before the first release and cannot be migrated; scan the crawl into a"
        " new database."
    )


class DatabaseBusyError(DedupError):
    message = (
        "The database {path} is being written by {holder}; only one process may write at a time. Stop that process first, or wait until"
        " it ends."
    )


class DatabaseOpenError(DedupError):
    message = "The database {path} is open in another program; close that program first. Nothing was changed."


class NotEnoughSpaceError(DedupError):
    message = "Rewriting the database {path} needs {needed} of free space, and {free} are free in {folder}. It was not rewritten."


class BackupRefusedError(DedupError):
    message = "{file} cannot become a backup of {path}: {problem}."
    exit_code = 2


class BackupFailedError(DedupError):
    message = "{path} was not backed up to {file}: {problem}. The partial copy was removed; an earlier file is unchanged."


class BackupCheckFailedError(DedupError):
    message = (
        "The copy of {path} for {file} failed its check and was removed: {problem}. The database or the disk is damaged; run 'dedup"
        " doctor'."
    )


class RestoreFailedError(DedupError):
    message = "{file} was not restored: {problem}. The database {path} is unchanged."


class OutputRefusedError(DedupError):
    message = "{file} is not written: {problem}."
    exit_code = 2


class OutputFailedError(DedupError):
    message = "{file} was not written: {problem}. The partial file was removed; an earlier file is unchanged."


class MissingExtraError(DedupError):
    message = """{feature} needs the package {package}, which is not installed; run: pip install "crawl-dedup[{extra}]\""""
    exit_code = 2


class TooManyTextsError(DedupError):
    message = "The candidate index is full: it holds {limit} texts at most. Record new articles in another database."


class DatabaseFailedError(DedupError):
    message = "Writing to the database {path} failed: {problem}. Earlier commits are intact; no file was partly recorded."


class DatabaseTruncatedError(DatabaseDamagedError):
    message = "The database {path} is damaged: {problem}. Writing to it has stopped. Stop dedup and restore the newest backup."


class DatabaseLockLostError(DedupError):
    message = "The lock {lock} was removed or replaced, so another process may write to the database {path}. Start dedup again."


class WalLostError(DedupError):
    message = "{log} was removed or replaced while the database {path} was open. All commits are in the database; it must be reopened."


class WalTruncatedError(WalLostError):
    message = "{log} was truncated while the database {path} was open: commits since the last checkpoint are lost. Scan again."


class DatabaseReplacedError(DedupError):
    message = "The database {path} was replaced by another file while it was open; writing to the old one has stopped. Start dedup again."


class SqliteTooOldError(DedupError):
    message = "SQLite {version} is too old; install {needed} or newer (dedup needs STRICT tables)."


class RecipeChangedError(DedupError):
    message = "{settings} changed since the database was written (stored: {stored}, configured: {configured}); run '{remedy}' first."


class UnknownPageError(DedupError):
    message = "The database has no page for {page}; name it by its URL, by its article id, or by the path of a recorded file."


class AmbiguousPageError(DedupError):
    message = "{page} is ambiguous: it matches several pages. Use one of these URLs: {urls}"
    exit_code = 2


class SearchIndexError(DedupError):
    message = "The search index {path} could not be created: {problem}. No data is lost; the index is derived from the database."


class SearchUnavailableError(DedupError):
    message = "Search is not available: {problem}."


class QueryError(DedupError):
    message = "The query '{query}' is not valid: {problem}."
    exit_code = 2


class UnknownRevisionError(DedupError):
    message = "{url} has no revision {revision}; it has {available}."
    exit_code = 2


class RevisionPrunedError(DedupError):
    message = "The text of revision {revision} of {url} was pruned on {at} by the rule of [history], so it cannot be compared."


class UnknownBoilerplateError(DedupError):
    message = "There is no boilerplate named {name}; 'dedup boilerplate list' shows the names."
    exit_code = 2


class AmbiguousBoilerplateError(DedupError):
    message = "{name} is ambiguous: it matches several passages. Use one of these names: {names}"
    exit_code = 2


class ShortBoilerplateError(DedupError):
    message = "The passage has {characters} letters and digits; it needs {minimum} or more to be found in articles."
    exit_code = 2


class MetricsError(DedupError):
    message = "Metrics cannot be served on {listen}: {problem}."


class WebError(DedupError):
    message = "The dashboard cannot be served on {listen}: {problem}."


class WebExposedError(DedupError):
    message = """Other machines could reach {listen}; set [web] token (better "env:NAME" than the token itself), or listen on 127.0.0.1."""
    exit_code = 2


class ParameterError(DedupError):
    message = "{name}: {problem}"
    exit_code = 2


class ChannelError(DedupError):
    message = "Channel {channel}: {problem}"


class UnknownChannelError(DedupError):
    message = "There is no channel named {name}; the configuration has {available}."
    exit_code = 2


class UnknownAlertError(DedupError):
    message = "There is no alert named {name}; 'dedup alerts list' shows the names."
    exit_code = 2


class AmbiguousAlertError(DedupError):
    message = "{name} is ambiguous: it matches several alerts. Write more of the name."
    exit_code = 2


class NotAnArticleError(DedupError):
    message = "{path} could not be read as an article: {problem}"
