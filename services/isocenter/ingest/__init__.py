"""Role: admission and announcement of objects."""
