//! What needs to reach inside: failures that are made on purpose.
