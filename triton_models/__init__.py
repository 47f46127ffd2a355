"""The models that Tipoff runs in Triton: weights, code, the repository and the server."""
