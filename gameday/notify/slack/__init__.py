"""Slack: what a channel is told of a session, and what people there can do."""
