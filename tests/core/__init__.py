"""Unit tests of the core: floors 1 to 6."""
