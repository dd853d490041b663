"""Feeds: how Revocations hear of what others end, where it is not a store that says so; each is imported by its own name."""
