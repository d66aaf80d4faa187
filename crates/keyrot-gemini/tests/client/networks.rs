//! Connections that cannot be had, and certificates that are not trusted.

use std::sync::Arc;

use keyrot_core::{Blame, Effect};
use keyrot_gemini::GeminiErrorKind;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scripted::{Scripted, Step, begun, event};
use crate::{client, expect_error, hello, secret};

#[tokio::test]
async fn nobody_listens() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = client(&url).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Connect, Blame::Service, Effect::Transient);
    assert!(error.to_string().contains("refused") && !error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_connection_is_closed_before_an_answer() {
    let server = Scripted::start([vec![], vec![Step::Send(b"nonsense\r\n\r\n".to_vec())]]).await;
    for _ in 0..2 {
        let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
        expect_error(&error, GeminiErrorKind::Interrupted, Blame::Service, Effect::Transient);
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_transient() {
    let server = Scripted::start([begun([event("half", None)])]).await;
    let error = client(&server.url()).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Interrupted, Blame::Service, Effect::Transient);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = client(&url).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Connect, Blame::Service, Effect::Transient);
}

/// Every key of this machine would fail alike, so it is returned at once. No TLS provider is installed for the
/// process, before or after.
#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_this_machines_affair() {
    // Made once, for a hundred years:
    // openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
    let certificate = CertificateDer::from(&include_bytes!("localhost.cert.der")[..]);
    let key = PrivateKeyDer::Pkcs8(include_bytes!("localhost.key.der")[..].into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(connection).await; // the client ends the handshake
    });
    let error = client(&url).generate(&secret(), &"m".into(), &hello()).await.unwrap_err();
    expect_error(&error, GeminiErrorKind::Connect, Blame::Host, Effect::Fail);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(CryptoProvider::get_default().is_none());
}
