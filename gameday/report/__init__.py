"""What is rendered from the journal alone: HTML, JSON, JUnit, Markdown."""
