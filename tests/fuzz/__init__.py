"""Fuzzing: every token, header, claim and key that a machine can think of, judged by us and by two other libraries.

Never knows sessions, stores or HTTP servers.
"""
