"""From the records of a suite to tables that can be believed. Floor 5."""
