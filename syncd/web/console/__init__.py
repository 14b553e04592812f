"""The console: signing in, pages about people and runs, and decisions about what is held."""
