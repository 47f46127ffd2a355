"""What Tipoff measures about itself: `python -m bench suite=core|shelf|ball|triton|pipeline`."""
