"""Files of a batch that were moved: their bytes were last seen at another path of the same crawl directory that is no longer there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dedup import store
from dedup.pipeline.batch import BatchReading
from dedup.pipeline.crawl_directories import CrawlDirectory, find_absent_mounts, is_below, may_have_file
from dedup.pipeline.extract import CrawlFile
from dedup.store import Database


class MovedFiles(NamedTuple):
    """Ids of new files that were moved, and of the stored files that have to be marked gone."""

    moved_ids: set[int]
    gone_ids: list[int]


class _SightingFile(NamedTuple):
    """A stored file that showed a sighting."""

    file_id: int
    content_digest: bytes | None
    directory_id: int
    folder: bytes
    name: bytes
    is_gone: int


@dataclass(frozen=True, slots=True)
class _AbsentMounts:
    """Absent mounts by crawl directory, looked up once for each directory."""

    database: Database
    paths_by_directory: dict[int, list[bytes]]

    def hide(self, crawl_file: CrawlFile, file: _SightingFile) -> bool:
        """Return whether a file of the same crawl directory as `crawl_file` lies on an absent mount, or below a mount that hides it."""
        directory_id = crawl_file.directory_id
        if directory_id not in self.paths_by_directory:
            directory = CrawlDirectory(directory_id, crawl_file.directory_path)
            self.paths_by_directory[directory_id] = find_absent_mounts(self.database, directory)
        is_absent = any(is_below(file.folder, path) for path in self.paths_by_directory[directory_id])
        return is_absent or bool(store.files.hidden_among(self.database, [file.file_id]))


def find_moved_files(database: Database, readings: Sequence[BatchReading]) -> MovedFiles:
    """Return the new files of a batch that were moved. Each earlier place accounts for one of them."""
    copied_sightings = {r.sighting_id for r in readings if r.source.is_copy}
    new_files = [r for r in readings if r.source.file_row is None and (not r.is_new_sighting or r.sighting_id in copied_sightings)]
    batch_files = {r.source.file_id for r in readings if not r.source.is_copy}
    files_by_sighting = store.files.files_of_sightings(database, {r.sighting_id for r in new_files})
    absent_mounts = _AbsentMounts(database, {})
    result = MovedFiles(set(), [])
    used_places: set[tuple[int, int]] = set()
    for reading in new_files:
        files = [_SightingFile(*row) for row in files_by_sighting.get(reading.sighting_id, ())]
        earlier_files = [f for f in files if f.file_id not in batch_files and _has_same_bytes(f, reading)]
        has_left, gone_ids = _find_departure(reading.source.extraction.file, earlier_files, absent_mounts)
        result.gone_ids.extend(gone_ids)
        place = reading.sighting_id, reading.source.extraction.file.directory_id
        if has_left and place not in used_places:
            result.moved_ids.add(reading.source.file_id)
            used_places.add(place)
    return result


def _has_same_bytes(file: _SightingFile, reading: BatchReading) -> bool:
    extraction = reading.source.extraction
    return file.content_digest == extraction.content_digest and file.directory_id == extraction.file.directory_id


def _find_departure(crawl_file: CrawlFile, earlier_files: Iterable[_SightingFile], absent_mounts: _AbsentMounts) -> tuple[bool, list[int]]:
    """Return whether all earlier files with the same bytes (one at least) have left their paths, and those that are not marked gone."""
    has_left = False
    gone_ids: list[int] = []
    for file in earlier_files:
        if not file.is_gone:
            if may_have_file(crawl_file.directory_path, file.folder, file.name) or absent_mounts.hide(crawl_file, file):
                return False, gone_ids
            gone_ids.append(file.file_id)
        has_left = True
    return has_left, gone_ids
