//! `sentinel doctor`: gathers the facts that [`crate::doctor`] judges, and changes nothing.

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
    session::{emit, running},
    show,
};
use crate::{
    admin::api::{CrowdedNetwork, DenialCount, GetDiagnosisRequest, GetDiagnosisResponse},
    config::Config,
    doctor::{Denials, Diagnosis, EnvoyFile, Report, Setup},
    files,
};

/// Envoy's largest files are far below.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Looks at this machine, at `envoy`'s files and at the server at `socket`, and prints what is wrong.
pub(super) fn run(config: Config, socket: &Path, envoy: &[PathBuf], output: Output) -> Result<(), Failure> {
    let files = envoy.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut report = Report::default();
    host::look(&config).examine(&mut report);
    let Config { client_ip, credentials, callers, settings, .. } = config;
    let check_deadline = settings.check_deadline;
    let setup = Setup { client_ip, credentials, callers, check_deadline };
    let runtime = running(&mut tokio::runtime::Builder::new_current_thread())?;
    let asked = runtime.block_on(ask(socket, async |api| api.get_diagnosis(GetDiagnosisRequest {}).await));
    let asked = asked.map(|answer| diagnosis(answer).examine(&setup, &mut report));
    files.iter().for_each(|file| file.examine(&setup, &mut report));
    // What was found here is worth telling where nobody answers, and just then.
    emit(output, || show::report(&report, asked.is_ok()), || json::report(&report), String::new)?;
    asked?;
    if report.findings().is_empty() { Ok(()) } else { Err(Failure::Found) }
}

fn read(path: &Path) -> Result<EnvoyFile, Failure> {
    let name = path.display().to_string();
    let usage = |fault: String| Failure::Usage(format!("--envoy {name}: {fault}"));
    let bytes = files::read(path, MAX_FILE).map_err(|cause| usage(cause.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| usage("is not UTF-8".to_owned()))?;
    EnvoyFile::parse(name.clone(), text).map_err(|fault| usage(fault.to_string()))
}

fn diagnosis(answer: GetDiagnosisResponse) -> Diagnosis {
    let GetDiagnosisResponse { source, header, trusted_proxies, profiles, callers, learned, crowded, denied, now_ms } =
        answer;
    let millis_ago = |at: i64| u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0);
    let denials = |DenialCount { reason, count, last_at_ms }| Denials {
        reason,
        count,
        ago: Duration::from_millis(millis_ago(last_at_ms)),
    };
    let crowd = |CrowdedNetwork { network, keys }| (network, keys);
    Diagnosis {
        source,
        header,
        trusted_proxies,
        profiles,
        callers,
        learned,
        crowded: crowded.into_iter().map(crowd).collect(),
        denied: denied.into_iter().map(denials).collect(),
    }
}
