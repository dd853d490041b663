"""Testing: what people test with who build on Stagedoor; needs pytest and pytest-asyncio. Each part is imported by its own name.

Never knows a real clock, and nothing of it runs outside of tests.
"""
