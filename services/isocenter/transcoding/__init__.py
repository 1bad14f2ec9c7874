"""Role: codecs, frames, rendering."""
