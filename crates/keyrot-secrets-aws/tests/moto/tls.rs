//! A server with a certificate of an authority that the system does not know.

use std::net::TcpStream;

use keyrot_core::secrecy::ExposeSecret;
use keyrot_core::{SecretErrorKind, SecretStore, SecretWriter, secrecy::SecretString};
use keyrot_test_servers::{Certificates, Process, free_port, tool};

use crate::api::{SECRET, key, store};

#[tokio::test]
#[ignore = "needs moto: cargo xtask test"]
async fn a_bundle_makes_its_authorities_trusted_and_only_those() {
    let (certificates, port) = (Certificates::make(), free_port());
    let (certificate, private) = (certificates.server_certificate(), certificates.server_key());
    let (port_text, certificate, private) =
        (port.to_string(), certificate.to_str().unwrap(), private.to_str().unwrap());
    let arguments = ["-H", "127.0.0.1", "-p", &port_text, "-c", certificate, "-k", private];
    let mut moto = Process::spawn(&tool("moto_server"), arguments, &[]);
    moto.wait_until_ready(async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let url = format!("https://127.0.0.1:{port}");

    let ca = certificates.ca();
    let trusting = store(&url, &[("AWS_CA_BUNDLE", ca.to_str().unwrap())]);
    trusting.put(&key("flash_01"), &SecretString::from(SECRET)).await.unwrap();
    assert_eq!(trusting.fetch(&key("flash_01")).await.unwrap().expose_secret(), SECRET);

    let others = Certificates::make();
    let wary = store(&url, &[("AWS_CA_BUNDLE", others.ca().to_str().unwrap())]);
    let error = wary.fetch(&key("flash_01")).await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unreachable);
    let text = error.to_string();
    assert!(
        text.contains("no connection: invalid peer certificate: ") && text.contains("AWS_CA_BUNDLE"),
        "{text}"
    );
}
