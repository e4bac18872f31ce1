"""Source declarations (one TOML each) and sample releases, shipped as package data."""
