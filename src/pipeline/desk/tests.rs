//! The desk with simulated time.
