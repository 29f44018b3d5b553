"""burnish: from a pile of raw text to an audited data set, a fine-tuned model and a watched service."""

from __future__ import annotations

__version__ = "0.1.0"
