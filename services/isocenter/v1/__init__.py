"""Generated from protos/isocenter/v1 by `make protos`; never edited."""
