"""Format counts, durations and byte sizes for people."""

from __future__ import annotations


def format_count(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: `1 page`, `1,234 pages`. `plural` defaults to `singular` + `s`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def format_lag(seconds: float) -> str:
    """Return a signed time span in minutes, rounded towards zero: `+3:15`, `-0:02`, `+2 d 1:00`."""
    minutes = int(abs(seconds)) // 60
    days, minutes = divmod(minutes, 1440)
    return ("-" if seconds < 0 else "+") + (f"{days} d " if days else "") + f"{minutes // 60}:{minutes % 60:02}"


def format_duration(seconds: float) -> str:
    """Return the length of a time span without its sign, in its two largest units: `15 min`, `3 h 15 min`, `2 d 1 h`."""
    minutes = round(abs(seconds) / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days:,} d" + (f" {hours} h" if hours else "")
    return f"{hours} h" + (f" {minutes} min" if minutes else "") if hours else f"{minutes} min"


def format_bytes(size: float) -> str:
    """Return a size in the largest decimal unit up to GB: `999 B`, `1.2 MB`, `1,234.5 GB`."""
    for unit in ("B", "kB", "MB"):
        if abs(size) < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def format_megabytes(size: float, digits: int = 1) -> str:
    """Return a size in MB (10^6 bytes), for sizes that are read next to each other: `0.7 MB`, `3,000 MB`."""
    return f"{size / 1e6:,.{digits}f} MB"
