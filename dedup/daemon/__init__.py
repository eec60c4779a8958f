"""The daemon of `dedup watch`: scan, then follow file system events. One loop does all the work and reports its health."""
