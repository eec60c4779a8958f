"""Alerts from the outbox to their channels.

`strings`, `content`, `render` and `messages` compose a message. `channels`, `webhook`, `atom` and `secrets` send it. `delivery` decides
when.
"""

from __future__ import annotations

from dedup.alerts.delivery import DeliveryService

__all__ = ["DeliveryService"]
