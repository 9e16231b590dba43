"""The ground floor: files, processes, clocks, redaction, the inventory of what runs where."""
