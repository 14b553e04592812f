"""Pure decisions: scope, mapping, closure of nested groups, diff, policy and guard. No I/O, no clock, no logger."""
