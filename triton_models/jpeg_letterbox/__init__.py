"""The model jpeg_letterbox."""
