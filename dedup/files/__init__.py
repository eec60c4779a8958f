"""Defensive access to files: atomic writes, no symbolic links, inotify limits, mounts, causes of disk errors."""
