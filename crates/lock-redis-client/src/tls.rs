//! The cryptography of TLS.

/// Installs ring as the cryptography of rustls for the process, unless another is installed.
///
/// The driver brings none, and panics without one when it connects by TLS, so this comes before the
/// first connection. Without the feature `tls-rustls` nothing is done.
pub fn install_tls() {
    // An error says that one is there already, which is as good.
    #[cfg(feature = "tls-rustls")]
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(all(test, feature = "tls-rustls"))]
mod tests {
    use super::*;

    #[test]
    fn cryptography_is_there_after_one_call_or_two() {
        install_tls();
        install_tls();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
