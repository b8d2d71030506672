//! The store against real databases: each claim on Postgres and on SQLite where it holds on both,
//! and what only a server can do to us on Postgres alone.

mod aggregates;
mod alerts;
mod audit;
mod audit_proof;
mod away;
mod burden;
mod cutter;
mod documented;
mod erasure;
mod history;
mod hypertable;
mod lineage;
mod once;
mod profiles;
mod projections;
mod refused;
mod rejected;
mod retention;
mod stand;
mod trends;
mod trouble;
mod upgrade;

/// The same claim on both databases.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $claim:ident($store:ident: Store) $body:block)+) => {
        mod on_postgres {
            use super::*;
            $(
                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim(Store::postgres().await).await;
                }
            )+
        }

        mod on_sqlite {
            use super::*;
            $(
                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim(Store::sqlite()).await;
                }
            )+
        }

        $(async fn $claim($store: Store) $body)+
    };
}

use on_both;
