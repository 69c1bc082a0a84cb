"""The steering engine: what is added, where, to which lane; generation; receipts; the queue before it."""
