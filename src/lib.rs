//! Pulseward: vitals in over MQTT, deterministic alarms out over gRPC, every reading kept once.
//!
//! # One way through the house
//!
//! ```text
//!  gateways ──MQTT──▶ mqtt ────▶ partition ─────────────────────┐
//!                     ▲          │ engine: decode, admit,       │
//!  commands ──gRPC────┼────────▶ │         registry, rules,     ├─▶ hub ──gRPC──▶ clinicians
//!                     │          │         alerts               ├─▶ store ──COPY──▶ Postgres, SQLite
//!                     │          │ journal: one commit          └─▶ verdicts ──MQTT──▶ gateways
//!                     │          └────────────┐
//!                     └──── PUBACK, replies ◀─┘  only after the commit
//! ```
//!
//! Everything that may change state is an *input*, in one order. The engine, a pure state machine,
//! turns each into *outputs*. Input and outputs reach the journal in one atomic commit; only then
//! is anyone told: publishers are acknowledged, commands answered, and *followers* (hub, store,
//! verdicts) read the outputs, each at its own pace. Followers decide nothing.
//!
//! # The modules, as a heartbeat meets them
//!
//! - [`vitals`], [`clock`], [`position`], [`proto`]: the words that everybody speaks
//! - [`mqtt`]: the source; and the way back for verdicts
//! - [`engine`]: decides, and does nothing else
//! - [`journal`]: makes it durable, and lets followers read it
//! - [`partition`]: runs engine and journal as one line
//! - [`hub`]: the alerts that are open, the vitals as they come in, and everybody who watches them
//! - [`store`]: rows for history and for people with SQL
//! - [`grpc`], [`http`]: the doors, and the ward page that is served at the second
//! - [`grpc_client`]: how the commands below come in by it
//! - [`enroll`], [`profile_file`], [`profile_admin`]: wards and alarm profiles as people write them,
//!   and the commands for them
//! - [`rejected_admin`], [`restore`]: the commands for what was refused, and for what was lost
//! - [`audit_admin`]: the command that verifies who did what
//! - [`watch`]: the live ward in a terminal
//! - [`export`], [`erase`]: the commands for what is held about a patient
//! - [`config`], [`telemetry`], [`readiness`], [`tls`], `incoming`, [`cli`]: what surrounds them
//! - [`service`]: the composition root, the only one who knows everyone
//!
//! A stage uses the foundation and what stands before it, never what comes after.
//!
//! # Invariants
//!
//! - **V1** A publish is acknowledged only after it and its outputs are durable.
//! - **V2** After a crash the journal is a prefix that holds every acknowledged input with all its
//!   outputs.
//! - **V3** The same inputs and the same engine give the same outputs, byte for byte, wherever a
//!   crash cut the run. The engine reads no clock, does no I/O and follows no hash map's order.
//! - **V4** A patient has at most one open alert for a rule.
//! - **V5** A watcher sees each patient's events in order; a gap is announced, never silent.
//! - **V6** After a drain, the rows in the store are the readings admitted in the journal.
//! - **V7** A reading counts for a patient only if its device was bound to that patient when it was
//!   *measured*, by the bindings known at receipt.
//! - **V8** Loss of data never ends a physiological alert; late data never ends, retracts or raises
//!   again a live one.
//! - **V9** With the database away, ingest, alarms, registry changes and streams go on; only
//!   history answers UNAVAILABLE.
//! - **V10** An outage of the service or its broker raises one technical alert, never a wave of
//!   silence alarms.
//!
//! Deliberately absent: no stage waits for the database; no input is acknowledged before its
//! commit; no follower has a say in what happened; nothing is shed in silence.

pub mod audit_admin;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod engine;
pub mod enroll;
pub mod erase;
pub mod export;
pub mod grpc;
pub mod grpc_client;
pub mod http;
pub mod hub;
mod incoming;
pub mod journal;
pub mod mqtt;
pub mod partition;
pub mod position;
pub mod profile_admin;
pub mod profile_file;
pub mod proto;
pub mod readiness;
pub mod rejected_admin;
mod repeat;
pub mod restore;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod vitals;
pub mod watch;
