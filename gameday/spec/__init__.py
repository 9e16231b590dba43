"""What users write, parsed: experiment, game day, runbook, project."""
