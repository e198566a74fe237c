//! Key-IP Sentinel: an Envoy external-authorization service that lets the first network that uses an API key own it.
//!
//! # One request
//!
//! Envoy calls `envoy.service.auth.v3.Authorization/Check` for every request. [`ext_authz`] denies the call if the
//! caller is not Envoy ([`net::caller`]), and decodes the message inside the handler, so that an invalid message is a
//! denial and not a gRPC error, which Envoy may be configured to allow. It loads the [`settings`] once. [`client_ip`]
//! finds the client's address, and the route's [`credential`] profile reads one canonical key from the headers, query
//! and cookies, or reports why it cannot.
//!
//! [`engine`] hashes the key with the pepper (the key itself goes no further), looks it up in [`cache`], and calls
//! [`decision::judge`] with the result. `judge` orders all rules, [`policy`] included, and returns the verdict or what
//! to find out next:
//!
//! - **The key is cached**: the verdict, without an await, I/O, a global lock or a log line.
//! - **The key is not cached**: one read, from Redis if it is configured and answers at once, else from the store.
//!   Concurrent requests with the same key share it.
//! - **The key may be claimed**: a claim budget, then [`store::Decisions::claim`], one atomic operation that is durable
//!   before it returns. Of any number of concurrent claims one gets `first_use`; its result decides the others.
//! - **The store does not answer**: `judge` again, with that as its input.
//!
//! `ext_authz::respond` writes the response. It is the only file that makes a `CheckResponse`, and an allow needs an
//! [`engine::Permit`], which only the engine can make. [`telemetry::metrics`] counts the decision; a call that Envoy
//! dropped counts as cancelled. A denial is published to [`events`], which coalesces it with those that are alike; no
//! decision waits for the audit. A first use is published by the task that claims, even if the request was dropped.
//!
//! # One change
//!
//! `sentinel ban` (the [`cli`]) calls the [`admin`] API on a unix socket. The command becomes a [`store::Change`],
//! which [`store::Operators::apply`] makes in one transaction: the row, its audit record, the change log and the next
//! revision. The record is published to [`events`], and the [`replication::ChangeNotifier`] notifies the Followers of
//! all processes. A [`replication::Follower`] wakes on a notification, on a new connection and on its timer (which
//! alone suffices), reads what changed after its applied revision, invalidates the cache, and raises the applied
//! revision. The reply to the operator waits for that, so a ban is in effect before the command returns.
//!
//! On SIGHUP, or when the file changes, [`config`] reads the new configuration and replaces the whole [`settings`]
//! snapshot. A check uses one snapshot from beginning to end.
//!
//! # Pepper rotation
//!
//! The listed peppers form a [`domain::KeyRing`]: new rows are written with the active one, keys are looked up with
//! all. `sentinel pepper activate` changes the store's active pepper ([`store::Operators::rotate`]). Each process
//! learns of it from its next poll, or earlier from [`store::StoreError::Behind`] if it claims, and retries the claim.
//! A key that is found under an older pepper is queued in [`store::rekey`], and [`maintenance`] moves it in batches.
//! The key keeps its row and its id.
//!
//! # One explanation
//!
//! `sentinel explain` sends a request's head to the admin API, which runs the same code: [`client_ip::Resolver::find`],
//! [`credential::Credentials::explain`], [`engine::Engine::explain`]. The last is [`engine::Engine::decide`] without
//! claims and metrics, and never makes an [`engine::Permit`].
//!
//! # Modules
//!
//! | module | what it does | imports |
//! |---|---|---|
//! | [`domain`] | keys and key ids, addresses and networks, bindings, reasons, audit records, time. Pure | |
//! | [`files`] | reads small files | |
//! | [`client_ip`] | finds the client's address behind trusted proxies. Pure | domain |
//! | [`credential`] | profiles: read a request's carriers into one canonical key, or a fault. Pure | domain |
//! | [`policy`] | rules about addresses; none in this version. Pure | domain |
//! | [`settings`] | the settings that may change while serving, in one snapshot that each check loads once | policy, domain |
//! | [`decision`] | `judge(context, evidence)` returns a verdict, or what to find out next. Orders the rules. Pure | policy, domain |
//! | [`engine`] | runs a decision: look-up, judge, claim budget, claim, deadline | decision, cache, settings, store, domain |
//! | [`store`] | the contract of the backends, as [`store::Decisions`], [`store::Operators`] and [`store::Upkeep`]; the shared rules; SQLite and PostgreSQL | files, domain, telemetry (metrics) |
//! | [`cache`] | committed facts in the process and in Redis, and the one rule that says which are still valid | store, net, domain, telemetry (metrics) |
//! | [`replication`] | the Follower, and the transports that wake it | cache, store, net, domain, telemetry (metrics) |
//! | [`events`] | publishes events: stores denials, spills them to disk while the store is unavailable, logs all as JSON | store, domain, telemetry (metrics) |
//! | [`maintenance`] | periodic jobs: archive, retention, counts, times of last use, re-keying | events, settings, store, domain, telemetry (metrics) |
//! | [`ext_authz`] | serves Envoy's Check: transport, decoder, response | credential, client_ip, engine, events, settings, net (caller), domain, telemetry (metrics) |
//! | [`admin`] | the operators' API: a service of typed commands and outcomes, and its gRPC transport | engine, credential, client_ip, settings, store, replication, events, net (caller), telemetry (health), domain |
//! | [`net`] | listeners, the HTTP/2 server, caller identity, the Redis connection with its circuit breaker | |
//! | [`telemetry`] | logs, metrics, health and its probes | domain |
//! | [`doctor`] | checks a machine, a server and Envoy's configuration; each finding has a fix | client_ip, credential, net, domain |
//! | [`config`] | reads file and environment into each module's options; reports all faults at once | the modules whose options it reads |
//! | [`app`] | the only wiring | everything but cli |
//! | [`cli`] | the command line | app, config, admin (messages), doctor, net, files, domain |
//!
//! `tests/architecture` checks the code against this table.

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod client_ip;
pub mod config;
pub mod credential;
pub mod decision;
pub mod doctor;
pub mod domain;
pub mod engine;
pub mod events;
pub mod ext_authz;
pub mod files;
pub mod maintenance;
pub mod net;
pub mod policy;
pub mod replication;
pub mod settings;
pub mod store;
pub mod telemetry;
