"""Process context: the service loop, the schedule, signals and the standby lock."""
