//! The real program, with a coordinator and peers that the tests play themselves.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod clients;
mod coordination;
mod copies;
mod links;
mod starting;
mod support;
mod tools;
