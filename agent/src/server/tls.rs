//! TLS of the endpoint: certificate, key and the authority of client certificates from files, read again when they
//! change. Connections are accepted elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::TlsFiles;

/// What the files said when they were last read without an error.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    current: Mutex<(Stamps, Arc<ServerConfig>)>,
}

/// When each file was changed; `None` for one that cannot be seen.
type Stamps = Vec<Option<SystemTime>>;

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file, and why.
    pub(super) fn read(files: TlsFiles) -> Result<Self, String> {
        let stamps = stamps(&files);
        let config = configuration(&files)?;
        Ok(Self { files, current: Mutex::new((stamps, config)) })
    }

    /// Reads the files again if one has changed. New connections use what they say; if they say nonsense, such as while
    /// they are being written, the certificate before stays.
    ///
    /// # Errors
    /// Which file, and why; once for each change.
    pub(super) fn read_again(&self) -> Result<bool, String> {
        let newest = stamps(&self.files);
        let mut current = self.current.lock();
        if current.0 == newest {
            return Ok(false);
        }
        current.0 = newest;
        current.1 = configuration(&self.files)?;
        Ok(true)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.lock().1))
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    let paths = [Some(&files.certificate), Some(&files.key), files.client_authority.as_ref()];
    paths.into_iter().flatten().map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok()).collect()
}

fn configuration(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let said = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let key_file = &files.key;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| said(key_file, &error))?;
    let chain = certificates(&files.certificate)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| said(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| said(path, &error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| said(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let parsed = CertificateDer::pem_file_iter(path).map_err(|error| said(&error))?;
    let list = parsed.collect::<Result<Vec<_>, _>>().map_err(|error| said(&error))?;
    if list.is_empty() { Err(said(&"there is no certificate in it; it must be a PEM file")) } else { Ok(list) }
}
