"""Role: the DIMSE gateway. One thin file per verb."""
