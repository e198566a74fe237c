//! Key-IP Sentinel: an Envoy external-authorization service that lets the first network that uses an API key own it.
//!
//! # The path of one request
//!
//! Envoy calls `envoy.service.auth.v3.Authorization/Check` for every request. [`ext_authz`] turns away who is no
//! [`caller`] of ours, takes the frame's bytes, decodes them inside the handler (so that a broken message is a denial
//! and not a gRPC error, which Envoy may be told to let through), and finds the client's address, by the one party whose
//! word [`client_ip`] takes, and, through the route's [`credential`] profile, the one canonical
//! key of headers, query and cookies.
//! [`engine`] hashes the key with the pepper (the key itself goes no further) and asks [`cache`]:
//!
//! - **known**, the warm path: a ban denies; an owner's address is allowed; any other is `ip_mismatch`. No await, no
//!   I/O, no global lock, no log line.
//! - **not cached**: one read, of Redis where there is one and it answers at once, else of the store; shared by all who
//!   wait for the same key.
//! - **never seen**: one atomic [`store::Store::claim`], durable before it is answered. Among any number of racing
//!   callers one gets `first_use`; the others are judged against the winner.
//!
//! `ext_authz::respond` writes the answer. Only there is a `CheckResponse` made, and only an [`engine::Permit`], which
//! only the engine can make, becomes an allow. [`metrics`] counts the decision (a call that Envoy dropped counts as
//! cancelled), and [`audit`] is told of denials and first uses through a queue that no decision waits for. Its records
//! go to the store, or to the disk for as long as the store does not take them.
//!
//! # The path of one change
//!
//! `sentinel ban` (the [`cli`]) calls the [`admin`] API on a unix socket. The operation becomes a
//! [`store::Change`], which [`store::Store::apply`] carries out in one transaction: the row, its audit record, the
//! change log and `revision + 1`. The [`replication::ChangeNotifier`] tell the Followers of all processes. A
//! [`replication::Follower`] is woken by such a hint (and by a timer, which alone would be enough), asks what changed after the
//! revision it knows, invalidates the cache, and raises the applied revision. The
//! reply to the operator waits for that, so that a ban binds before the command returns.
//!
//! # The path from one pepper to the next
//!
//! The peppers that are listed make a [`domain::KeyRing`]: the active one writes, all are looked up.
//! `sentinel pepper activate` has the store name another one ([`store::Store::rotate`]); each process hears of it by its
//! next poll, or, where it claims earlier than that, by [`store::StoreError::Behind`], and tries again. A key that is
//! found under an older pepper is put into [`store::rekey`], whose batches move its row: one row, one id, whichever
//! pepper found it.
//!
//! # The path of one question
//!
//! `sentinel explain` sends a request's head to the admin API, which asks the very code above what it would decide:
//! [`client_ip::Resolver::find`], [`credential::Credentials::explain`], [`engine::Engine::explain`]. The last one is
//! [`engine::Engine::decide`] without the claim, and makes no [`engine::Permit`] that anyone could answer with.
//!
//! # The house
//!
//! | room | what it holds | may import |
//! |---|---|---|
//! | [`domain`] | keys, addresses, bindings, reasons, audit records. Pure | nothing of ours |
//! | [`client_ip`] | whose word on the client's address counts; the walk through trusted proxies. Pure | domain |
//! | [`credential`] | profiles: closed grammars from a request's carriers to one canonical key, in one table. Pure | domain |
//! | [`metrics`] | every metric in one table | domain |
//! | [`store`] | the `Store` contract, its rules, SQLite and PostgreSQL; the cache and its one rule; the process's view of the store's clock; the batch that re-keys | redis_link (the shared cache), files (PostgreSQL's certificates), domain, metrics |
//! | [`redis_link`] | where Redis is, the connection to it and its breaker | metrics |
//! | [`replication`] | the Follower, and the feeds that wake it | store (contract, cache, view, PostgreSQL's notifications), redis_link, domain, metrics |
//! | [`limit`] | claim budgets, in bounded memory | domain |
//! | [`engine`] | the decision | limit, store (contract, cache, view, re-keying), domain |
//! | [`audit`] | the never-blocking pipeline, what waits for the store, and the JSON log | store (contract, view), domain, metrics |
//! | [`health`] | one answer for gRPC health and `/readyz`; `/metrics` | store (view) |
//! | [`ext_authz`] | the edge | caller, client_ip, credential, engine, audit, domain, metrics |
//! | [`admin`] | the operators' API | engine (explain), caller, client_ip, credential, store (contract, view), changes, audit, health, domain |
//! | [`jobs`] | what runs by the clock | store (contract, view), audit (the log), domain, metrics |
//! | [`last_seen`] | when keys were last used, in batches | store (contract, cache) |
//! | [`caller`] | how a caller is known to be Envoy. Pure | nothing of ours |
//! | [`doctor`] | what is wrong with a set-up, and the fix: of a machine, a server, a file of Envoy's. Pure | caller, client_ip, credential, domain |
//! | [`files`] | small files, and nothing that is none | nothing of ours |
//! | [`listen`], [`pepper`], [`logging`] | sockets, the secret's file, log lines | domain, files (pepper) |
//! | [`config`] | file and environment → each room's options | caller, client_ip, credential, engine, ext_authz, files, limit, listen, redis_link, store (PostgreSQL's options), domain |
//! | [`app`] | the only wiring | all of the above |
//! | [`cli`] | the command line | app, config, admin (the messages), doctor, files, listen, pepper, domain |
//!
//! `tests/architecture.rs` holds the code against this table.

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
