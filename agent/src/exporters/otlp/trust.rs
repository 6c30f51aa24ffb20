//! TLS to a receiver: whom it trusts and what it shows, from PEM files or the system. Connections are made elsewhere.

use std::fmt::Display;

use hyper_rustls::ConfigBuilderExt as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{Named, Trust};
use crate::error::Error;

/// What a client is configured with; with nobody trusted where TLS is not `used`, so that no file is needed.
///
/// # Errors
/// Which file cannot be used, and why.
pub(super) fn configuration(trust: &Trust, used: bool) -> Result<ClientConfig, Error> {
    // the host may have several providers, of which rustls then chooses none
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| of_system(&error))?;
    if !used {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let builder = match &trust.authority {
        Some(file) => builder.with_root_certificates(authorities(file)?),
        None => builder.with_native_roots().map_err(|error| of_system(&error))?,
    };
    let (Some(certificate), Some(key)) = (&trust.certificate, &trust.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let own_key = PrivateKeyDer::from_pem_file(&key.1).map_err(|error| refused(key, &error))?;
    builder.with_client_auth_cert(certificates(certificate)?, own_key).map_err(|error| refused(certificate, &error))
}

fn authorities(file: &Named) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        roots.add(authority).map_err(|error| refused(file, &error))?;
    }
    Ok(roots)
}

fn certificates(file: &Named) -> Result<Vec<CertificateDer<'static>>, Error> {
    let parsed = CertificateDer::pem_file_iter(&file.1).map_err(|error| refused(file, &error))?;
    let list = parsed.collect::<Result<Vec<_>, _>>().map_err(|error| refused(file, &error))?;
    if list.is_empty() { Err(refused(file, &"there is no certificate in it")) } else { Ok(list) }
}

fn refused((setting, path): &Named, why: &dyn Display) -> Error {
    let reason = format!("{why}; it must be a PEM file that this process may read");
    Error::Setting { setting, value: path.display().to_string(), reason }
}

fn of_system(why: &dyn Display) -> Error {
    let reason = format!(
        "the authorities of the system cannot be used: {why}; install ca-certificates, or name a file with \
         certificate_authority or OTEL_EXPORTER_OTLP_CERTIFICATE"
    );
    Error::Setting { setting: "otlp", value: "https".to_owned(), reason }
}
