"""The live node: cameras that come and go, tracked, made durable and streamed as they come."""
