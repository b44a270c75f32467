//! The messages of every link, each direction one enum, each enum defined here and nowhere else.
//!
//! | link | opens it | messages |
//! |---|---|---|
//! | any | the dialling side | [`hello`] |
//! | client and node | client | [`client`] |
//! | client and coordinator | client | [`registry`] |
//! | node and coordinator | node | [`control`] |
//! | primary and backup | primary | [`replication`] |
//! | joiner and primary | joiner | [`copy`] |

pub mod client;
pub mod control;
pub mod copy;
pub mod hello;
pub mod registry;
pub mod replication;
