"""One file a revision. What has been released is never changed: a new one changes the tables."""
