"""Stores: where sessions live. Each is imported by its own name; nothing here imports one."""
