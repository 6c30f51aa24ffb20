//! An nginx that ends TLS in front of a collector, over HTTP and gRPC, and asks its clients for a certificate; and the authority
//! that signed everybody's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{START_LIMIT, free_port, installed};
use crate::program::Program;
use crate::waiting::wait_until;

/// Certificates and keys in PEM files.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// An authority, and signed by it a server's certificate for `localhost` and a client's.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        // OpenSSL takes a certificate whose issuer has its own name for self-signed
        authority.distinguished_name.push(DnType::CommonName, "heartline's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.path().join("authority.pem"), authority.self_signed(&authority_key)?.pem())?;
        let issuer = Issuer::new(authority, authority_key);
        for (name, purpose) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate()?;
            let mut leaf = CertificateParams::new(vec!["localhost".to_owned()])?;
            leaf.distinguished_name.push(DnType::CommonName, name);
            leaf.extended_key_usages.push(purpose);
            fs::write(folder.path().join(format!("{name}.pem")), leaf.signed_by(&key, &issuer)?.pem())?;
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(Self { folder })
    }

    /// Whom to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A client's certificate and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("client.pem"), self.folder.path().join("client.key"))
    }

    fn server(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("server.pem"), self.folder.path().join("server.key"))
    }
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    _program: Program,
    _folder: TempDir,
    http: u16,
    grpc: u16,
}

impl Nginx {
    /// Ends TLS in front of these two `host:port`s, for clients whose certificate the authority signed.
    ///
    /// # Errors
    /// When it is not installed or does not listen.
    pub fn secure(certificates: &Certificates, http: &str, grpc: &str) -> Result<Self> {
        let server = installed("nginx", &["/usr/sbin".into()], "nginx")?;
        let folder = tempfile::tempdir()?;
        let ports = (free_port()?, free_port()?);
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration(folder.path(), certificates, ports, (http, grpc)))?;
        let (prefix, file) = (folder.path().display().to_string(), file.display().to_string());
        let program = Program::start(server, &["-p", &prefix, "-c", &file, "-e", "stderr"])?;
        for port in [ports.0, ports.1] {
            let listens = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
            wait_until(START_LIMIT, "nginx to listen", listens).with_context(|| program.report())?;
        }
        Ok(Self { _program: program, _folder: folder, http: ports.0, grpc: ports.1 })
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> String {
        format!("https://localhost:{}", self.http)
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("https://localhost:{}", self.grpc)
    }
}

fn configuration(
    folder: &Path,
    certificates: &Certificates,
    (http_port, grpc_port): (u16, u16),
    (http, grpc): (&str, &str),
) -> String {
    let (certificate, key) = certificates.server();
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on;",
        certificate.display(),
        key.display(),
        certificates.authority().display()
    );
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()))
        .join(" ");
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr warn;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_max_body_size 16m; {temporary}\n\
         server {{ listen 127.0.0.1:{http_port} ssl; {tls} location / {{ proxy_pass http://{http}; }} }}\n\
         server {{ listen 127.0.0.1:{grpc_port} ssl http2; {tls} location / {{ grpc_pass grpc://{grpc}; }} }}\n}}\n",
        folder = folder.display(),
    )
}
