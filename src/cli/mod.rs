//! The command line. `args` and the `…_args` modules define the commands; `manual` holds their long help. `serve`,
//! `migrate`, `check-config`, `pepper new`, `completions` and `man` run in this process, and `doctor` also inspects
//! this machine. Every other command calls a running server over its admin socket (`client`) and prints the response
//! (`show`, `json` or `csv`). `confirm` asks before a command that may lock an owner out. `fields` names the option
//! that a field error of the server is about.

mod args;
mod audit_args;
mod bindings_args;
mod change;
mod client;
mod confirm;
mod csv;
mod doctor;
mod failure;
mod fields;
mod json;
mod manual;
mod moving;
mod operate;
mod pepper;
mod pepper_args;
mod progress;
mod promote;
mod reference;
mod screen;
mod session;
mod show;
mod stream;
mod usage;
mod values;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use crate::{
    app,
    config::{self, Config},
    domain::{Pepper, key::encode_pepper},
};
use args::{Cli, Command};
use failure::Failure;
use pepper_args::PepperCommand;
use screen::Screen;
use session::{Session, build_runtime, print, say};

/// Runs the command that `args` name. The first argument is the name of the program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Cli::try_parse_from(args) {
        Ok(cli) => execute(cli),
        Err(error) => usage::report(&error),
    };
    let Err(failure) = result else { return ExitCode::SUCCESS };
    let code = failure.exit_code();
    if code != 0 && !matches!(failure, Failure::Findings) {
        say(format_args!("error: {failure}"));
    }
    ExitCode::from(code)
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let load = || {
        config::load(cli.config.as_deref(), std::env::vars_os()).map_err(|faults| Failure::Config(faults.to_string()))
    };
    let configured = || {
        config::admin_socket(cli.config.as_deref(), std::env::vars_os())
            .map_err(|faults| Failure::Config(faults.to_string()))
    };
    let socket = || cli.admin.clone().map_or_else(configured, Ok);
    let session = |socket| Session { socket, output: cli.output, screen: Screen::stdout(cli.color) };
    match cli.command {
        Command::Serve => serve(load()?, cli.config.clone()),
        Command::CheckConfig => {
            let app::Preflight { faults, notes } = app::check_config(&load()?);
            for note in notes {
                say(format_args!("note: {note}"));
            }
            if !faults.is_empty() {
                return Err(Failure::Config(faults.join("\n")));
            }
            print("The configuration is valid.\n")
        }
        Command::Migrate { init } => migrate(&load()?, init),
        Command::Pepper(PepperCommand::New) => new_pepper(),
        Command::Completions { shell } => completions(shell),
        Command::Man { command } => man(&command),
        Command::Doctor { envoy } => {
            session::reject_csv(cli.output)?;
            let config = load()?;
            let socket = cli.admin.unwrap_or_else(|| config.listen.admin.clone());
            doctor::run(config, &socket, &envoy, cli.output)
        }
        Command::Pepper(PepperCommand::Remote(command)) => pepper::run(command, &session(&socket()?)),
        Command::Remote(command) => operate::run(command, &session(&socket()?)),
    }
}

fn serve(config: Config, file: Option<PathBuf>) -> Result<(), Failure> {
    let reloaded = file.clone();
    let load = Box::new(move || config::load(reloaded.as_deref(), std::env::vars_os()));
    let runtime = build_runtime(&mut tokio::runtime::Builder::new_multi_thread())?;
    runtime
        .block_on(app::serve(config, app::Source { file, load }))
        .map_err(|error| Failure::Rejected(error.to_string()))
}

fn migrate(config: &Config, init: bool) -> Result<(), Failure> {
    let runtime = build_runtime(&mut tokio::runtime::Builder::new_current_thread())?;
    let store = runtime.block_on(app::migrate(config, init)).map_err(|error| Failure::Rejected(error.to_string()))?;
    print(&format!("{store} is up to date.\n"))
}

fn new_pepper() -> Result<(), Failure> {
    use rand::{TryRng, rngs::SysRng};

    let mut entropy = [0; 32];
    SysRng
        .try_fill_bytes(&mut entropy)
        .map_err(|error| Failure::Rejected(format!("cannot read random bytes from the system: {error}")))?;
    let text = encode_pepper(entropy);
    let pepper = Pepper::new(text.as_bytes()).map_err(|weak| Failure::Rejected(weak.to_string()))?;
    print(&text)?;
    print("\n")?;
    // On stderr, because stdout goes into the secret's file. `pepper activate` takes this id.
    say(format_args!("pepper {}", pepper.id()));
    Ok(())
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sentinel", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of the command that `words` name, or of the program if there are none.
fn man(words: &[String]) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    let Some(command) = words.iter().try_fold(&program, |command, word| command.find_subcommand(word)) else {
        return Err(Failure::Usage("COMMAND: unknown command; `sentinel --help` lists the commands".to_owned()));
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))
}
