"""Defensive access to files: atomic writes, no symbolic links, inotify limits, mounts, errors of full disks."""
