"""What people are told: states, scope verdicts, notifications."""
