from funcgrad.numpy import operators, protocol, ufuncs
