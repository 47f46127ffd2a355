"""The published weights, for tests: pulled once into the user's store, as a user would."""

from __future__ import annotations

import functools

from triton_models.weights.pull import pull
from triton_models.weights.store import Store


@functools.cache
def pulled_store() -> Store:
    """Return the user's store with MoveNet in it; the second time needs no network."""
    store = Store()
    pull(store)
    return store
