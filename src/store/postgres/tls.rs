//! Connections with TLS where the URL demands it, and without where it does not.
//!
//! Promises: a connection that was to be encrypted is, or there is none; the server's certificate
//! and name are verified; what was replaced since is used for the next connection.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::ClientConfig;

use crate::tls::{self, Current};

/// What moves a connection's bytes, until it ends.
type Driver = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

/// Connects as the URL says. Where that demands TLS and `tls` is none, the driver refuses.
pub(super) async fn connect(
    config: &Config,
    tls: Option<&Current<ClientConfig>>,
) -> Result<(Client, Driver), tokio_postgres::Error> {
    match tls {
        Some(tls) if config.get_ssl_mode() == SslMode::Require => {
            let verified = MakeRustlsConnect::new(Arc::unwrap_or_clone(tls.get()));
            let (client, connection) = config.connect(verified).await?;
            Ok((client, connection.boxed()))
        }
        _ => {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, connection.boxed()))
        }
    }
}

/// Why TLS failed, if that is what failed.
pub(super) fn reason(error: &tokio_postgres::Error) -> Option<String> {
    let explained = tls::explain(error.source()?.downcast_ref::<io::Error>()?)?;
    Some(format!("TLS with the database: {}", explained.reason))
}
