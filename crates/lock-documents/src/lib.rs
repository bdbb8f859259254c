//! Small named documents, changed by compare-and-set: what is kept beside locks and is none.
//!
//! - [`DocumentStore`] is the interface, [`MemoryDocuments`] the store in the memory of a process;
//!   other crates have stores that last.
//! - `conformance` (feature of this name) holds every store to the same promises.
//!
//! # Examples
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), lock_documents::DocumentError> {
//! use lock_documents::{DocumentStore, MemoryDocuments, Replacement};
//!
//! let store = MemoryDocuments::new();
//! assert_eq!(store.replace("plan", None, Some(b"one")).await?, Replacement::Done);
//! let read = store.read("plan").await?.map(|document| document.revision);
//! assert_eq!(store.replace("plan", read, Some(b"two")).await?, Replacement::Done);
//! // Whoever read before that comes too late.
//! assert_eq!(store.replace("plan", read, None).await?, Replacement::Changed);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;

mod error;
mod memory;
mod store;

pub use error::{DocumentError, Result};
pub use memory::MemoryDocuments;
pub use store::{Document, DocumentStore, Replacement, Revision};
