"""The workloads, one in each file: definition, inputs, reference value, implementations side by side."""
