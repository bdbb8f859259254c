//! The whole conformance suite on real servers: with and without a journal, by functions and by
//! scripts, on the server's own clock and on one that is set by hand.

mod common;

mod plain {
    lock_testkit::conformance!(crate::common::Plain);
}

mod scripted {
    lock_testkit::conformance!(crate::common::Scripted);
}

mod journaled {
    lock_testkit::conformance!(crate::common::Journaled);
}
