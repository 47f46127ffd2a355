"""Live cameras: sources, each in a thread of its own, behind slots that hold the newest frame."""
