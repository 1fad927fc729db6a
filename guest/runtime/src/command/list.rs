//! `list`: every container on record.

use clap::ValueEnum;

use super::state::Shown;
use super::store::Store;
use super::{Ended, print, print_json};
use crate::error::Error;

/// Lists containers.
#[derive(clap::Args)]
pub(super) struct Args {
    /// As what.
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
    /// Names only.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Lists them.
pub(super) fn run(args: &Args, store: &Store) -> Ended {
    let mut shown = Vec::new();
    for id in store.ids()? {
        match Shown::look(store, &id) {
            Ok(one) => shown.push(one),
            // Gone since, or not on record yet; or no container at all.
            Err(Error::NotExist(_) | Error::Value { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if args.quiet {
        return print(&shown.iter().map(|one| format!("{}\n", one.id)).collect::<String>());
    }
    match args.format {
        Format::Json => print_json(&shown),
        Format::Table => print(&table(&shown)),
    }
}

fn table(shown: &[Shown]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(shown.iter().map(|one| {
        let bundle = one.bundle.display().to_string();
        [
            one.id.clone(),
            one.pid.to_string(),
            one.status.to_string(),
            bundle,
            one.created.clone(),
            one.owner.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect::<String>();
        cells.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
