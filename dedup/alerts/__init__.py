"""Alerts on their way: what messages say (`wording`, `telling`, `forms`, `messages`), where they go (`channels`, `atom`, `secrets`), and
when (`delivery`)."""

from __future__ import annotations

from dedup.alerts.delivery import DeliveryService

__all__ = ["DeliveryService"]
