"""Alerts on their way: what messages say (`strings`, `content`, `render`, `messages`), where they go (`channels`, `atom`, `secrets`), and
when (`delivery`)."""

from __future__ import annotations

from dedup.alerts.delivery import DeliveryService

__all__ = ["DeliveryService"]
