"""A third-party package: parts of every kind, known by entry points alone."""
