//! `sentinel doctor`: gathers the facts that [`crate::doctor`] checks. Changes nothing.

mod host;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    args::Output,
    client::ask,
    failure::Failure,
    json,
    session::{build_runtime, emit},
    show,
};
use crate::{
    admin::api::{DenialCount, GetDiagnosisRequest, GetDiagnosisResponse},
    config::Config,
    doctor::{Denials, Diagnosis, EnvoyFile, Report, Setup},
    files,
};

/// In bytes. Far above the size of real Envoy files.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Checks this machine, the `envoy` files and the server at `socket`, and prints the findings.
pub(super) fn run(config: Config, socket: &Path, envoy: &[PathBuf], output: Output) -> Result<(), Failure> {
    let files = envoy.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut report = Report::default();
    host::inspect(&config).check(&mut report);
    let Config { client_ip, credentials, listen, settings, .. } = config;
    let setup = Setup { client_ip, credentials, callers: listen.callers, check_deadline: settings.check_deadline };
    setup.check(&mut report);
    let runtime = build_runtime(&mut tokio::runtime::Builder::new_current_thread())?;
    let answer = runtime.block_on(ask(socket, async |api| api.get_diagnosis(GetDiagnosisRequest {}).await));
    let server = answer.map(|answer| diagnosis(answer).check(&setup, &mut report));
    EnvoyFile::check(&files, &setup, &mut report);
    // Printed even if the server did not answer: the local findings may be the reason.
    emit(output, || show::report(&report, server.is_ok()), || json::report(&report), String::new)?;
    server?;
    if report.findings().is_empty() { Ok(()) } else { Err(Failure::Findings) }
}

fn read(path: &Path) -> Result<EnvoyFile, Failure> {
    let name = path.display().to_string();
    let usage = |fault: String| Failure::Usage(format!("--envoy {name}: {fault}"));
    let bytes = files::read(path, MAX_FILE).map_err(|cause| usage(cause.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| usage("is not UTF-8".to_owned()))?;
    EnvoyFile::parse(name.clone(), text).map_err(|fault| usage(fault.to_string()))
}

fn diagnosis(answer: GetDiagnosisResponse) -> Diagnosis {
    let ago = |at: i64| Duration::from_millis(answer.now_ms.saturating_sub(at).try_into().unwrap_or(0));
    let denials = |it: DenialCount| Denials { reason: it.reason, count: it.count, ago: ago(it.last_at_ms) };
    Diagnosis {
        source: answer.source,
        header: answer.header,
        trusted_proxies: answer.trusted_proxies,
        trusted_hops: answer.trusted_hops,
        profiles: answer.profiles,
        callers: answer.callers,
        learned: answer.learned,
        crowded: answer.crowded.into_iter().map(|it| (it.network, it.keys)).collect(),
        denied: answer.denied.into_iter().map(denials).collect(),
    }
}
