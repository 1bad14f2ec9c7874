"""Role: DICOMweb, health and the viewer over HTTP."""
