"""The use cases (pull, plan, apply, runs) over ports that are declared here, next to their consumer."""
