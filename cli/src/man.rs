use std::{io, path::PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use mobileone::Error;

use crate::{
    Cli, Verdict,
    out::{Stop, check_parent, put, write},
};

const EXAMPLES: &str = "\
Examples:
  mobileone man | man -l -
  mobileone man ~/.local/share/man/man1          a page for each command";

/// Print the manual page, or write a page for each command
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to put mobileone.1, mobileone-classify.1 and the others into
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else {
        put(&page(&command, "mobileone")?)?;
        return Ok(Verdict::Good);
    };
    check_parent(folder)?;
    let made = match std::fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    made.map_err(|source| Error::Io { path: folder.clone(), source })?;
    let whole = ("mobileone".to_string(), &command);
    let parts = command.get_subcommands().map(|part| (format!("mobileone-{}", part.get_name()), part));
    for (name, command) in [whole].into_iter().chain(parts) {
        let path = folder.join(format!("{name}.1"));
        let text = page(command, &name)?;
        write(&path, text.as_bytes())?;
    }
    Ok(Verdict::Good)
}

fn page(command: &Command, title: &str) -> Result<String, Stop> {
    let mut text = Vec::new();
    Man::new(command.clone()).title(title).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
