"""The store: what all journals of a project say, where a team can ask it; fed from journals, and never the truth."""
