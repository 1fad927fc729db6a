//! A container's log.
