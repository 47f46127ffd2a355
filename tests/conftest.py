"""Fixtures that several folders of tests share."""

from tests.support.triton import triton_client, triton_server

__all__ = ["triton_client", "triton_server"]
