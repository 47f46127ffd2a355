"""Fixtures that several folders of tests share."""

import signal

from hypothesis import HealthCheck, settings

from tests.support.triton import triton_client, triton_server

__all__ = ["triton_client", "triton_server"]

# A shell starts background jobs deaf to SIGINT, and programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a time, and hypothesis would: a busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
