"""Fixtures that several folders of tests share."""

import signal

from tests.support.triton import triton_client, triton_server

__all__ = ["triton_client", "triton_server"]

# A shell starts background jobs deaf to SIGINT, and programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
