#![doc = include_str!("../README.md")]

#[cfg(feature = "conformance")]
pub mod conformance;

mod error;
mod memory;
mod store;

pub use error::{DocumentError, Result};
pub use memory::MemoryDocuments;
pub use store::{Document, DocumentStore, Replacement, Revision};
