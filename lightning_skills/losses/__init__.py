"""Pure losses: tensors in, scalar and metrics out."""
