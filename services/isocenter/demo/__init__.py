"""Demo studies: synthetic phantoms that look like anatomy sketches. Nobody's images.

The same on every machine: pixels, attributes and UIDs follow from fixed seeds and names alone.
"""

from __future__ import annotations

from isocenter.demo.studies import generate, studies

__all__ = ["generate", "studies"]
