//! A release server for tests.
