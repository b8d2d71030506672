//! A database of the benchmark's own.

use anyhow::{Context, Result};
use pulseward::store::Url;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The server, and the database on it.
pub(crate) struct Server {
    admin: Client,
    url: String,
    name: String,
}

impl Server {
    /// Makes the database.
    pub(crate) async fn prepare(url: &str) -> Result<Self> {
        let admin = connect(url).await?;
        let name = format!("bench_{}", Uuid::new_v4().simple());
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let authority = url.find("://").context("no URL")? + 3;
        let path = url[authority..].find('/').map_or(url.len(), |slash| authority + slash);
        Ok(Self { admin, url: format!("{}/{name}", &url[..path]), name })
    }

    /// What is to be known about it.
    pub(crate) async fn described(&self) -> Result<String> {
        let sql = "SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name) FROM pg_settings
            WHERE name IN ('server_version', 'fsync', 'synchronous_commit', 'shared_buffers')";
        Ok(self.admin.query_one(sql, &[]).await?.get(0))
    }

    /// Its address.
    pub(crate) fn url(&self) -> Result<Url> {
        Ok(self.url.parse()?)
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Lets it begin anew.
    pub(crate) async fn empty(&self) -> Result<()> {
        let client = self.connect().await?;
        let sql = "SELECT to_regclass('pulseward.readings') IS NOT NULL";
        if client.query_one(sql, &[]).await?.get(0) {
            // The next journal is another one, or the same from its beginning.
            let empty = "TRUNCATE pulseward.readings, pulseward.journal_cursor, pulseward.journals,
                pulseward.device_sequences, pulseward.device_numbers";
            client.batch_execute(empty).await?;
        }
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// How many readings it has.
    pub(crate) async fn count(&self) -> Result<usize> {
        let sql = "SELECT count(*) FROM pulseward.readings";
        let count: i64 = self.connect().await?.query_one(sql, &[]).await?.get(0);
        Ok(usize::try_from(count)?)
    }

    /// Drops the database.
    pub(crate) async fn clean_up(self) -> Result<()> {
        self.admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        Ok(())
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
