"""The data plane: from a lease to a processor's batches, in the loop of whoever started the worker."""
