"""The one place where the Chaos Toolkit is touched."""
