"""Who takes part: `trustcenter site` and `trustcenter staff`, their tokens and certificates."""
