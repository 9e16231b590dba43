"""Every number of a report, computed once more from the lines of its journal, and where it must be shown."""
