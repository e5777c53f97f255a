"""Why a finding stays. Each was seen before its reason was written; one without a reason fails the audit."""

from __future__ import annotations

REASONS: dict[str, str] = {}
