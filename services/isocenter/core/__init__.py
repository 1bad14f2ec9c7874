"""What every layer shares: names, attributes, events, ports and service APIs. No input or output."""
