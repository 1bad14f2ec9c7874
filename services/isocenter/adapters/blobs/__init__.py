"""The object store: files, a bucket of an S3 store, and in memory for tests."""
