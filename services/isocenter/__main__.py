"""`python -m isocenter`."""

from __future__ import annotations

from isocenter.cli import main

if __name__ == "__main__":
    main()
