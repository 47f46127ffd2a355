"""The model jpeg_check."""
