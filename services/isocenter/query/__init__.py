"""Role: DICOM matching over the index."""
