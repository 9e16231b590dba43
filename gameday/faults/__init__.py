"""What can be broken, one fault a file, found by entry points."""
