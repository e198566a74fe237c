//! Settings that change while the server serves: by SIGHUP, and because the file changed.

use crate::common::{Home, Sentinel, eventually, sentinel};
use nix::sys::signal::Signal::SIGHUP;

const KEY: &str = "sk-reload-0123456789ab";
const OWNER: &str = "203.0.113.7";
const OTHER: &str = "198.51.100.9";

async fn reason(sentinel: &Sentinel, key: &str, ip: &str) -> String {
    sentinel.check().key(key).from(ip).send().await.reason().to_owned()
}

async fn metric(sentinel: &Sentinel, series: &str) -> f64 {
    let (_, page) = sentinel.get("/metrics").await;
    let line = page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn reloads(sentinel: &Sentinel, outcome: &str) -> f64 {
    metric(sentinel, &format!("sentinel_config_reloads_total{{outcome=\"{outcome}\"}}")).await
}

/// Rewrites the file and waits until the server has read it. The signal may come before or after it looks by itself.
async fn rewrite(sentinel: &Sentinel, change: impl Fn(&str) -> String, outcome: &str) {
    let before = reloads(sentinel, outcome).await;
    sentinel.home().rewrite_config(change);
    sentinel.signal(SIGHUP);
    eventually("the file is read again", async || (reloads(sentinel, outcome).await > before).then_some(())).await;
}

fn with(line: &str) -> impl Fn(&str) -> String {
    move |text| format!("{line}\n{text}")
}

fn home() -> Home {
    sentinel().unset("claims.per_network").set("claims.per_network", "\"off\"")
}

#[tokio::test]
async fn a_changed_file_is_read_without_a_signal() {
    let sentinel = home().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch");
    sentinel.home().rewrite_config(with("mode = \"off\""));
    eventually("the new mode holds", async || (reason(&sentinel, KEY, OTHER).await == "mode_off").then_some(())).await;
    assert_eq!(metric(&sentinel, "sentinel_config_last_reload_ok").await, 1.0);
}

#[tokio::test]
async fn every_live_setting_takes_effect() {
    let sentinel = home().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let denial = async || sentinel.check().key(KEY).from(OTHER).send().await;
    assert!(!denial().await.body().to_string().contains("ask in the chat"));

    rewrite(
        &sentinel,
        with("answers.help.text = \"ask in the chat\"\nanswers.help.url = \"https://help.test/\""),
        "applied",
    )
    .await;
    let told = denial().await.body().to_string();
    assert!(told.contains("ask in the chat") && told.contains("https://help.test/"), "{told}");

    rewrite(&sentinel, with("credentials.missing = \"allow\""), "applied").await;
    assert!(sentinel.check().from(OWNER).send().await.is_allow());

    rewrite(&sentinel, with("client_ip.unclaimable = [\"203.0.113.0/24\"]"), "applied").await;
    assert_eq!(reason(&sentinel, "sk-another-0123456789", OWNER).await, "unclaimable_network");

    rewrite(
        &sentinel,
        with("binding.prefix_v4 = 24\nbinding.max_networks = 2\nbinding.learn_window = \"1h\""),
        "applied",
    )
    .await;
    let wide = "sk-wide-0123456789abc";
    for (ip, expected) in [("192.0.2.1", "first_use"), ("192.0.2.200", "bound"), (OTHER, "network_added")] {
        assert_eq!(reason(&sentinel, wide, ip).await, expected);
    }
    rewrite(&sentinel, with("binding.first_use = \"deny\""), "applied").await;
    assert_eq!(reason(&sentinel, "sk-closed-0123456789", OTHER).await, "not_claimed");
    rewrite(
        &sentinel,
        |text| {
            text.replace("binding.first_use = \"deny\"\n", "")
                .replace("claims.per_network = \"off\"", "claims.per_network = \"1/d\"")
        },
        "applied",
    )
    .await;
    assert_eq!(reason(&sentinel, "sk-limit1-0123456789", OTHER).await, "first_use");
    assert_eq!(reason(&sentinel, "sk-limit2-0123456789", OTHER).await, "claim_limited");

    assert!(!sentinel.log().contains("\"level\":\"DEBUG\""));
    rewrite(&sentinel, with("log.level = \"debug\""), "applied").await;
    rewrite(&sentinel, with("mode = \"observe\""), "applied").await;
    assert_eq!(sentinel.check().key(KEY).from(OTHER).send().await.mode(), "observe");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound", "what was bound stays bound");
}

#[tokio::test]
async fn a_bad_file_keeps_the_running_settings_and_says_so() {
    let sentinel = home().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    // One good change beside the fault: all or nothing.
    rewrite(&sentinel, with("mode = \"off\"\nbinding.prefix_v4 = 99"), "refused").await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch");
    assert_eq!(metric(&sentinel, "sentinel_config_last_reload_ok").await, 0.0);
    eventually("the log tells the fault", async || {
        let log = sentinel.log();
        (log.contains("the current settings stay in use") && log.contains("binding.prefix_v4")).then_some(())
    })
    .await;
    rewrite(&sentinel, |text| text.replace("binding.prefix_v4 = 99\n", ""), "applied").await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "mode_off");
    assert_eq!(metric(&sentinel, "sentinel_config_last_reload_ok").await, 1.0);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_does_not_change() {
    let sentinel = home().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    rewrite(&sentinel, with("credentials.realm = \"another\"\nanswers.help.text = \"hello\""), "applied").await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound", "in another realm the key would be new");
    let warned = async || {
        let log = sentinel.log();
        let line = log.lines().find(|line| line.contains("need a restart"));
        line.map(str::to_owned)
    };
    let line = eventually("the log names it", warned).await;
    assert!(line.contains("credentials.realm") && !line.contains("answers.help.text"), "{line}");
    // It is told again: the file still says what is not done.
    let times = || sentinel.log().matches("need a restart").count();
    let before = times();
    rewrite(&sentinel, with("mode = \"observe\""), "applied").await;
    eventually("the log names it again", async || (times() > before).then_some(())).await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
}

/// The proxies left the list of those who never own, and stayed the ones whose word counts.
#[tokio::test]
async fn a_change_of_the_proxies_waits_whole_for_the_restart() {
    let proxies = "client_ip.trusted_proxies = [\"10.0.0.5\"]\n";
    let sentinel = home().set("client_ip.trusted_proxies", "[\"10.0.0.5\"]").start().await;
    assert_eq!(reason(&sentinel, KEY, "10.0.0.5").await, "unclaimable_network");
    rewrite(&sentinel, |text| text.replace(proxies, ""), "applied").await;
    assert_eq!(reason(&sentinel, KEY, "10.0.0.5").await, "unclaimable_network");
    eventually("the log names it", async || sentinel.log().contains("need a restart").then_some(())).await;
}

#[tokio::test]
async fn a_signal_without_a_change_changes_nothing() {
    let sentinel = home().start().await;
    let (_, before) = sentinel.get("/readyz").await;
    rewrite(&sentinel, str::to_owned, "applied").await;
    assert_eq!(sentinel.get("/readyz").await.1, before);
    assert!(!sentinel.log().contains("need a restart"));
}
