"""The environment that holds the secret of a signed webhook."""

from __future__ import annotations

ENV = {"HOOK_SECRET": "s3cret"}
