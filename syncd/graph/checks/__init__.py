"""What `syncd check` asks the tenant."""
