"""What to ask for: catalogues, as data, from (service, signal) to a query."""
