"""The models that Tipoff runs in Triton: their weights, their code, the repository and the server."""
