"""Reports for people: the state of every object, and the explanation of one."""
