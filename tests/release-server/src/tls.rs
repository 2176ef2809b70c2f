//! A certificate of the server's own, made anew for each.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, crypto};
use tokio_rustls::TlsAcceptor;

use crate::state::hex;

/// TLS with a certificate for the loopback's names and addresses that offers
/// `protocols`, and in PEM the authority that has issued it.
pub(crate) fn acceptor(protocols: &[&str]) -> io::Result<(TlsAcceptor, String)> {
    let (certificate, key, authority) = issue().map_err(io::Error::other)?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate.der().clone()], key)
            })
            .map_err(io::Error::other)?;
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    Ok((TlsAcceptor::from(Arc::new(config)), authority))
}

/// An authority and what it certifies, since no client accepts an authority as
/// a server.
fn issue() -> Result<(rcgen::Certificate, PrivateKeyDer<'static>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Each has a name of its own, or clients would take one for the other.
    let name = format!("release server {}", hex(&key.public_key_raw()[1..9]));
    authority.distinguished_name.push(DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(authority, key)?;
    let key = KeyPair::generate()?;
    let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((certificate, key.into(), authority.pem()))
}
