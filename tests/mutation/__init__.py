"""Mutation testing of the core with mutmut: which small changes of the source no test notices, and why each of those may stay.

Never knows a rule of the core.
"""
