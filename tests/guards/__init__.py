"""Guards: what stands before a route, in each framework."""
