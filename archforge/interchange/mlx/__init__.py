"""MLX: our ops as text of its layers."""
