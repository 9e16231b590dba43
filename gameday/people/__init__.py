"""Who takes part: roles and pairs."""
