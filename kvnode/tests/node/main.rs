//! The real program, with a coordinator and peers that the tests play themselves.

mod clients;
mod coordination;
mod copies;
mod links;
mod starting;
mod support;
