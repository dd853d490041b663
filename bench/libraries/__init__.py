"""The libraries that sign and verify, one file each: as their documentation shows them, and as fast as they can be set up.

Each runs in a process of its own (worker.py, worker.mjs), on the Python or Node.js that it needs, and is asked turn by turn.
"""
