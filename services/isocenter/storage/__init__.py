"""Role: custody of objects and of what is derived from them."""
