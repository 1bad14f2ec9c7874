"""What every layer shares: names, attributes, events, ports, service APIs. No input or output."""
