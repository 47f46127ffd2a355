"""What Tipoff measures about itself: `python -m bench suite=core|shelf|triton|pipeline`."""
