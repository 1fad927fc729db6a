//! Pulling from a real registry.
