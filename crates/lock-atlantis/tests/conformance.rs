//! Atlantis' own tests, on each of the stores.

mod stores;

mod adapter_over_redis {
    lock_compat::legacy_conformance!(crate::stores::OverRedis);
}

mod fallback {
    lock_compat::legacy_conformance!(crate::stores::WithFallback);
}

mod atlantis_redis {
    lock_compat::legacy_conformance!(crate::stores::Atlantis);
}
