"""The checksum of objects: finds what a disk or a wire did to them, at the speed of memory.

The SHA-256 in an object's name is its identity, and what `isocenter verify` checks; it costs more
than everything else in a retrieval. XXH3 of 64 bits finds an accidental change as surely as anyone
can tell. Whoever can change an object on purpose could change its checksum too.
"""

from __future__ import annotations

import xxhash

Checksum = xxhash.xxh3_64  # as of `hashlib`: `update`, `hexdigest` of 16 digits
