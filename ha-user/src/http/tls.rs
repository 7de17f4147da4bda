//! TLS towards servers, by rustls.

use std::{io, sync::Arc};

use tokio::sync::OnceCell;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

/// How certificates are judged is read once: root certificates do not change
/// while a daemon runs, and there are more than a hundred of them.
static VERIFYING: OnceCell<TlsConnector> = OnceCell::const_new();
static TRUSTING: OnceCell<TlsConnector> = OnceCell::const_new();

/// What makes TLS of a connection. With `verify` the server's certificate has to be
/// valid by the host's root certificates (or those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name), else any will do.
///
/// # Errors
/// If the host has no root certificates.
pub(super) async fn connector(verify: bool) -> io::Result<TlsConnector> {
    let connector = match verify {
        true => VERIFYING.get_or_try_init(verifying).await?,
        false => TRUSTING.get_or_try_init(trusting).await?,
    };
    Ok(connector.clone())
}

async fn verifying() -> io::Result<TlsConnector> {
    // It reads files, so it is done beside everything else.
    let roots = tokio::task::spawn_blocking(roots).await??;
    config(|builder| builder.with_root_certificates(roots).with_no_client_auth())
}

async fn trusting() -> io::Result<TlsConnector> {
    let verifier = Arc::new(AnyCertificate(provider()));
    config(|builder| {
        let builder = builder.dangerous();
        builder
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth()
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

type Builder =
    tokio_rustls::rustls::ConfigBuilder<ClientConfig, tokio_rustls::rustls::WantsVerifier>;

fn config(finish: impl FnOnce(Builder) -> ClientConfig) -> io::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = finish(builder);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session shows no certificate: one that has expired would pass.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map(|error| format!(" ({error})"));
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "this host has no root certificates{}; install ca-certificates, or name a file in \
             SSL_CERT_FILE",
            why.unwrap_or_default()
        ),
    ))
}

/// Takes every certificate, and still has the server prove that it has the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, tokio_rustls::rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, tokio_rustls::rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
