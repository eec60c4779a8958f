"""Every error the program raises on purpose: `message` is what people read, `exit_code` what the process leaves with.

A message is the docstring of its class too. It is not written as one, because Python leaves docstrings out when it is asked to
optimise (-OO). `ShutdownRequested` is not an error and has no message.

Exit codes: 2 usage or configuration, 3 the work could not be done. (0 is done, 1 findings where a command was asked to
judge, 130 interrupted.)
"""

from __future__ import annotations


class ShutdownRequested(BaseException):
    """The process is shutting down and the work in hand takes too long to finish. Its transaction is rolled back; the next start
    does the work again. Not an Exception, so that no handler of failures catches it."""


class DedupError(Exception):
    """The work could not be done."""

    message = "The work could not be done."
    exit_code = 3

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.message

    def __init__(self, **facts: object) -> None:
        """`facts` fill the placeholders of the class's message."""
        super().__init__(self.message.format(**facts))
        self.facts = facts


class ConfigError(DedupError):
    message = "{file}: {key}: {problem}"
    exit_code = 2


class ConfigFileError(DedupError):
    message = "{file}: {problem}"
    exit_code = 2


class NoDirectoryError(DedupError):
    message = "No crawl directory is configured; name one on the command line or make a configuration with 'dedup init DIR'."
    exit_code = 2


class DirectoriesOverlapError(DedupError):
    message = "The crawl directories {first} and {second} overlap; a file would be recorded twice. Keep the outer one."
    exit_code = 2


class DirectoryInsideError(DedupError):
    message = (
        "{inner} lies inside the crawl directory {outer}, where its files are recorded. Name {outer} instead; 'dedup scan {inner}' scans"
        " that part alone. 'dedup roots forget {outer}' retires the whole directory."
    )

    exit_code = 2


class DirectoryContainsError(DedupError):
    message = (
        "{outer} contains the crawl directory {inner}; files would be recorded twice. Name {inner}, or run 'dedup roots forget {inner}'."
    )

    exit_code = 2


class DirectoryMovedError(DedupError):
    message = (
        "{new} holds the files of {old}, which is not there any more; run 'dedup roots move {old} {new}' or 'dedup roots forget {old}'."
    )

    exit_code = 2


class DatabaseInsideError(DedupError):
    message = (
        "The database {database} lies inside the crawl directory {directory}, where nothing is ever written. Move it elsewhere, and name"
        " it with --database or [database] path."
    )

    exit_code = 2


class SubdirectoryMissingError(DedupError):
    message = "{path} is not a directory, and no file below it is recorded in the crawl directory {directory}."

    exit_code = 2


class UnknownDirectoryError(DedupError):
    message = "The database knows no crawl directory {path}; it knows {available}."

    exit_code = 2


class DirectoryMoveRefusedError(DedupError):
    message = "The crawl directory {old} was not moved to {new}: {problem}."

    exit_code = 2


class DirectoryConfiguredError(DedupError):
    message = "{path} is configured, and the next scan would find its files again. Take it out of [crawl] directories first."

    exit_code = 2


class OutputExistsError(DedupError):
    message = "{path} exists already and is left as it is; move it away or choose another name."


class DirectoryAbsentError(DedupError):
    message = (
        "Not there, or not mounted: {paths}. Nothing in it was marked as gone. Mount it; or if it was renamed or retired, see"
        " 'dedup roots --help'."
    )


class NoAbsentMountError(DedupError):
    message = "{path} is no mount that is missing from a crawl directory; 'dedup status' lists those that are."

    exit_code = 2


class DatabaseMissingError(DedupError):
    message = "There is no database at {path}; 'dedup scan' makes one."


class DatabaseUnreadableError(DedupError):
    message = "The database {path} cannot be opened: {problem}."


class DatabaseDamagedError(DatabaseUnreadableError):
    message = "The database {path} is damaged: {problem}. Nothing was half recorded. 'dedup doctor' tells what is lost and what to do."


class ForeignWalError(DatabaseUnreadableError):
    message = (
        "The log {log} is not of the database {path} beside it and would ruin it; nothing was touched. 'dedup doctor' tells what to do."
    )


class DatabaseNewerError(DedupError):
    message = "The database {path} was written by a newer version of dedup (it holds {unknown}); install that version."


class DatabaseTooOldError(DedupError):
    message = (
        "The database {path} was written by a development version of dedup, before the first release, and cannot be migrated; scan the"
        " crawl into a new database."
    )


class DatabaseBusyError(DedupError):
    message = (
        "The database {path} is being written by {holder}; only one process may write at a time. Stop that one first, or wait until it"
        " ends."
    )


class DatabaseOpenError(DedupError):
    message = "The database {path} is open in another program; close that first. Nothing was changed."


class NotEnoughSpaceError(DedupError):
    message = "Rewriting the database {path} takes {needed} of free room meanwhile, and {free} are free in {folder}. It was not rewritten."


class BackupRefusedError(DedupError):
    message = "{file} cannot become a backup of {path}: {problem}."
    exit_code = 2


class BackupFailedError(DedupError):
    message = "{path} was not backed up to {file}: {problem}. What was begun was removed; what stood there before stands there still."


class BackupCheckFailedError(DedupError):
    message = (
        "The copy of {path} for {file} did not pass its check and was removed: {problem}. Either the database is damaged or the disk is."
    )


class RestoreFailedError(DedupError):
    message = "{file} was not restored: {problem}. The database {path} is as it was."


class OutputRefusedError(DedupError):
    message = "{file} is not written: {problem}."
    exit_code = 2


class OutputFailedError(DedupError):
    message = "{file} was not written: {problem}. What was begun was removed; what stood there before stands there still."


class MissingExtraError(DedupError):
    message = """{feature} needs the package {package}, which is not installed. Run: pip install "crawl-dedup[{extra}]"."""
    exit_code = 2


class TooManyTextsError(DedupError):
    message = "The candidate index has room for {limit} texts, and the database has reached them. Begin another database for what is new."


class DatabaseFailedError(DedupError):
    message = "Writing to the database {path} failed: {problem}. What was committed before stands; nothing was half recorded."


class DatabaseTruncatedError(DatabaseDamagedError):
    message = "The database {path} is damaged: {problem}. Nothing more is written to it. Stop dedup and restore the newest backup."


class DatabaseLockLostError(DedupError):
    message = "The lock {lock} was removed or replaced; another process may write to the database {path}. Start again to go on."


class WalLostError(DedupError):
    message = (
        "{log} was removed or replaced while the database {path} was open. What was committed is in the database. It must be opened again."
    )


class WalTruncatedError(WalLostError):
    message = (
        "{log} was cut short while the database {path} was open: what was committed since it was last copied back is lost. Scan again."
    )


class DatabaseReplacedError(DedupError):
    message = (
        "Another file lies at {path} than the database that was opened; nothing more is written to that. Start again to go on with this."
    )


class SqliteTooOldError(DedupError):
    message = "SQLite {version} is too old; dedup needs {needed} or newer (STRICT tables)."


class RecipeChangedError(DedupError):
    message = "{settings} changed since the database was written (stored: {stored}, configured: {configured}); run '{remedy}' first."


class UnknownPageError(DedupError):
    message = "The database holds no page for {page}."


class AmbiguousPageError(DedupError):
    message = "{page} matches several pages; name one of them by its URL: {urls}"
    exit_code = 2


class SearchIndexError(DedupError):
    message = "The search index {path} could not be made: {problem}. It is derived: nothing is lost with it."


class SearchUnavailableError(DedupError):
    message = "Nothing can be searched: {problem}."


class QueryError(DedupError):
    message = "'{query}' cannot be looked for: {problem}."
    exit_code = 2


class UnknownRevisionError(DedupError):
    message = "{url} has no revision {revision}; it has {available}."
    exit_code = 2


class RevisionPrunedError(DedupError):
    message = "The text of revision {revision} of {url} was pruned on {at} by the rule of [history]; it cannot be measured again."


class UnknownBoilerplateError(DedupError):
    message = "No boilerplate is called {name}; 'dedup boilerplate list' shows the names."
    exit_code = 2


class AmbiguousBoilerplateError(DedupError):
    message = "{name} matches several passages; write more of the name: {names}"
    exit_code = 2


class ShortBoilerplateError(DedupError):
    message = "The passage has {characters} letters and digits; fewer than {minimum} are never looked for."
    exit_code = 2


class MetricsError(DedupError):
    message = "Metrics cannot be served on {listen}: {problem}."


class WebError(DedupError):
    message = "The dashboard cannot be served on {listen}: {problem}."


class WebExposedError(DedupError):
    message = """Other machines could reach {listen}: set [web] token (better "env:NAME" than the token itself), or listen on 127.0.0.1."""
    exit_code = 2


class ParameterError(DedupError):
    message = "{name}: {problem}"
    exit_code = 2


class ChannelError(DedupError):
    message = "Channel {channel}: {problem}"


class UnknownChannelError(DedupError):
    message = "No channel is called {name}; the configuration has {available}."
    exit_code = 2


class UnknownAlertError(DedupError):
    message = "No alert is called {name}; 'dedup alerts list' shows the names."
    exit_code = 2


class AmbiguousAlertError(DedupError):
    message = "{name} matches several alerts; write more of the name."
    exit_code = 2


class NotAnArticleError(DedupError):
    message = "{path} could not be read as an article: {problem}"
