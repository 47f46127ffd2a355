"""The journal: everything that made a session's snapshots, on disk before they are sent."""
