//! Key-IP Sentinel: an Envoy external-authorization service that lets the first network that uses an API key own it.
//!
//! # One request
//!
//! Envoy calls `envoy.service.auth.v3.Authorization/Check` for every request. [`ext_authz`] rejects a caller that is not
//! Envoy ([`net::caller`]) and decodes the message inside the handler, so that a broken message is a denial and not a gRPC
//! error, which Envoy may be configured to let through. It loads the [`settings`] once, and reads the request by them:
//! [`client_ip`] finds the client's address, and the route's [`credential`] profile makes one canonical key of headers,
//! query and cookies, or reports why it cannot.
//!
//! [`engine`] hashes the key with the pepper (the key itself goes no further), asks [`cache`] what is known of it, and has
//! [`decision::judge`] judge that. `judge` orders all rules, [`policy`] among them; what it returns is the verdict, or what
//! to find out next:
//!
//! - **The key is cached**: nothing more. No await, no I/O, no global lock, no log line.
//! - **Not cached**: one read, of Redis if it is configured and answers at once, else of the store. Concurrent requests
//!   with one key share it.
//! - **The key may be claimed**: a claim budget, then [`store::Decisions::claim`], one atomic operation that is durable
//!   before it is answered. Of any number of concurrent claims one gets `first_use`; the others are judged by its result.
//! - **The store does not answer**: `judge` again, with that as its input.
//!
//! `ext_authz::respond` writes the answer. Only there is a `CheckResponse` made, and only an [`engine::Permit`], which only
//! the engine can make, becomes an allow. [`telemetry::metrics`] counts the decision; a call that Envoy dropped counts as
//! cancelled. A denial is published to [`events`] through a queue that no decision waits for; a first use is published by
//! the task that claims, even if its request is gone.
//!
//! # One change
//!
//! `sentinel ban` (the [`cli`]) calls the [`admin`] API on a unix socket. The operation becomes a [`store::Change`], which
//! [`store::Operators::apply`] carries out in one transaction: the row, its audit record, the change log and
//! `revision + 1`. The record is published to [`events`]; the [`replication::ChangeNotifier`] notifies the Followers of
//! all processes. A [`replication::Follower`], woken by a notification, by a new connection or by its timer (which alone
//! suffices), asks what changed after the revision that it has applied, invalidates the cache, and raises the applied
//! revision. The reply to the operator waits for that, so a ban binds before the command returns.
//!
//! A new configuration, by SIGHUP or because the file changed, is read by [`config`] and replaces the [`settings`] in one
//! store: a check that has begun ends by the settings that it began with.
//!
//! # One pepper to the next
//!
//! The listed peppers make a [`domain::KeyRing`]: new rows are written with the active one, keys are looked up with all.
//! `sentinel pepper activate` has the store name another one ([`store::Operators::rotate`]); each process learns of it by
//! its next poll, or, if it claims before that, by [`store::StoreError::Behind`], and tries again. A key that is found
//! under an older pepper is put into the queue of [`store::rekey`], whose batches [`maintenance`] moves: one row and one
//! id, whichever pepper found it.
//!
//! # One question
//!
//! `sentinel explain` sends a request's head to the admin API, which runs the code above: [`client_ip::Resolver::find`],
//! [`credential::Credentials::explain`], [`engine::Engine::explain`]. The last is [`engine::Engine::decide`] without the
//! claim and the metrics, and makes no [`engine::Permit`].
//!
//! # Modules
//!
//! | module | what it does | imports |
//! |---|---|---|
//! | [`domain`] | keys and key ids, addresses and networks, bindings, reasons, audit records, time. Pure | |
//! | [`files`] | reads small files | |
//! | [`client_ip`] | finds the client's address through trusted proxies. Pure | domain |
//! | [`credential`] | profiles: a request's carriers to one canonical key, or a fault. Pure | domain |
//! | [`policy`] | rules about addresses; none yet. Pure | domain |
//! | [`settings`] | what may change while the process serves, in one cell that each check loads once | policy, domain |
//! | [`decision`] | `judge(context, what is known, or that the store is lost)` to a verdict, or to what to find out next. Orders the rules. Pure | policy, domain |
//! | [`engine`] | runs a decision: look-up, judge, claim budget, claim, deadline | decision, cache, settings, store, domain |
//! | [`store`] | what backends promise, as [`store::Decisions`], [`store::Operators`] and [`store::Upkeep`]; the shared rules; SQLite and PostgreSQL | files, domain, telemetry (metrics) |
//! | [`cache`] | committed facts in the process and in Redis, and the one rule that says which still count | store, net, domain, telemetry (metrics) |
//! | [`replication`] | the Follower, and the transports that wake it | cache, store, net, domain, telemetry (metrics) |
//! | [`events`] | publishes what happened: stores denials, spills them to disk while the store is away, logs all as JSON | store, domain, telemetry (metrics) |
//! | [`maintenance`] | jobs that run by the clock: archive, retention, counts, times of last use, re-keying | events, settings, store, domain, telemetry (metrics) |
//! | [`ext_authz`] | the Envoy edge: transport, decoder, answer | credential, client_ip, engine, events, settings, net (caller), domain, telemetry (metrics) |
//! | [`admin`] | the operators' API: a service of typed commands and outcomes, and its gRPC edge | engine, credential, client_ip, settings, store, replication, events, net (caller), telemetry (health), domain |
//! | [`net`] | listeners, the HTTP/2 server, caller identity, the Redis connection with its breaker | |
//! | [`telemetry`] | logs, metrics, health and the probes that ask for it | domain |
//! | [`doctor`] | checks a machine, a server and Envoy's configuration, each with its fix | client_ip, credential, net, domain |
//! | [`config`] | file and environment to each module's options; reports all faults at once | the modules whose options it reads |
//! | [`app`] | the only wiring | everything but cli |
//! | [`cli`] | the command line | app, config, admin (messages), doctor, net, files, domain |
//!
//! `tests/architecture` holds the code against this table.

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
