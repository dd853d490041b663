"""Guards: what stands before a route. The framework-free part; each framework's own idiom is a file of its own."""
