"""One module a suite: a config dataclass, its defaults, and `run`."""
