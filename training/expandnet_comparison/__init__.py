"""The paper's comparison: expansion operators, other networks, metrics and protocols."""
