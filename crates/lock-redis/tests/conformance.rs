//! The whole conformance suite on real servers, with and without a journal, on the server's own
//! clock and on one that is set by hand.

mod common;

mod plain {
    lock_testkit::conformance!(crate::common::Plain);
}

mod unjournaled {
    lock_testkit::conformance!(crate::common::Unjournaled);
}

mod journaled {
    lock_testkit::conformance!(crate::common::Journaled);
}
