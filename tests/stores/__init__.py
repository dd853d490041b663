"""Each of our own stores under the contract of stores, and what only it can show."""
