//! What a shell and `man` are told of the commands: made from the one table.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{args::Cli, failure::Failure, output::print};

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sentinel", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// The page of the command that `words` name; without any, of the program.
pub(super) fn man(words: &[String]) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    let found = words.iter().try_fold(&program, |command: &Command, word| command.find_subcommand(word));
    let Some(command) = found else {
        return Err(Failure::Usage("COMMAND: there is no such command; `sentinel --help` lists them".to_owned()));
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))
}
