use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::{
    Cli, Verdict,
    out::{Stop, put},
};

const EXAMPLES: &str = "\
Examples:
  mobileone completions bash >> ~/.bash_completion
  mobileone completions zsh > ~/.zfunc/_mobileone
  mobileone completions fish > ~/.config/fish/completions/mobileone.fish";

/// Print a shell's completion script
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let mut command: Command = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mobileone", &mut script);
    put(&String::from_utf8_lossy(&script))?;
    Ok(Verdict::Good)
}
