"""What a node shows of itself: metrics, traces, log lines, readiness."""
