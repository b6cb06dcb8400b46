//! Writes the man pages and the completions for shells, from the definitions of the command lines:
//! `cargo run -p coco-server --example papers -- FOLDER` fills `FOLDER/man` and `FOLDER/completions`.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use coco_server::{
    cli::Cli,
    ks::{What, old_command},
};

/// Every key of the configuration, which is what coco.toml(5) is.
const REFERENCE: &str = include_str!("../../../deploy/coco.toml");

/// Printed in the middle of the first line of each page.
const MANUAL: &str = "Coco";

fn main() -> anyhow::Result<()> {
    let folder = env::args_os().nth(1).context("say which folder to write to")?;
    let (man, completions) =
        (Path::new(&folder).join("man"), Path::new(&folder).join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    // What a page is called is the name that is typed; `help` needs none.
    let mut coco = Cli::command().disable_help_subcommand(true);
    coco.build();
    pages(&coco, &man)?;
    reference(&man)?;
    for command in [Cli::command(), old_command(What::Errors), old_command(What::Send)] {
        let name = command.get_name().to_owned();
        if name != "coco" {
            page(&command, &man)?;
        }
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command.clone(), &name, &completions)?;
        }
    }
    Ok(())
}

/// A page for a command and for each below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    page(command, folder)?;
    command.get_subcommands().try_for_each(|command| pages(command, folder))
}

fn page(command: &Command, folder: &Path) -> io::Result<()> {
    let man = Man::new(command.clone()).source(source()).manual(MANUAL);
    let mut file = File::create(folder.join(man.get_filename()))?;
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    // That of clap_mangen has every option, without the name of its value.
    let usage = command.clone().render_usage().to_string();
    let usage: Vec<_> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    verbatim(&mut file, "SYNOPSIS", &usage.join("\n"))?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut file)?;
    }
    if let Some(text) = command.get_after_help() {
        // Columns, which clap_mangen would fill.
        verbatim(&mut file, "NOTES", &text.to_string())?;
    }
    see_also(&mut file, command.get_display_name().unwrap_or_else(|| command.get_name()))
}

fn reference(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join("coco.toml.5"))?;
    writeln!(file, ".TH coco.toml 5 \"\" \"{}\" \"{MANUAL}\"", source())?;
    writeln!(file, ".SH NAME\ncoco.toml \\- the configuration of Coco")?;
    writeln!(file, ".SH DESCRIPTION")?;
    writeln!(file, "Every key stands in this example, with its unit, its range and its default.")?;
    verbatim(&mut file, "EXAMPLE", REFERENCE)?;
    see_also(&mut file, "coco.toml")
}

/// A section whose lines stay as they are.
fn verbatim(file: &mut File, heading: &str, text: &str) -> io::Result<()> {
    writeln!(file, ".SH {heading}\n.nf")?;
    for line in text.lines() {
        // `\&` keeps a dot or a quote at the beginning from being a request.
        writeln!(file, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(file, ".fi")
}

fn see_also(file: &mut File, own: &str) -> io::Result<()> {
    let others = [("coco", 1), ("coco-check", 1), ("coco-ks", 1), ("coco.toml", 5)];
    let names: Vec<_> = others
        .iter()
        .filter(|(name, _)| *name != own)
        .map(|(name, section)| format!("\\fB{}\\fR({section})", name.replace('-', "\\-")))
        .collect();
    writeln!(file, ".SH \"SEE ALSO\"\n{}", names.join(", "))
}

fn source() -> String {
    let version = Cli::command().get_version().unwrap_or_default().to_owned();
    format!("Coco {version}")
}
