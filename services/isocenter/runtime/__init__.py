"""How any role lives in a process: its life cycle, its listeners, its connections to the others."""
