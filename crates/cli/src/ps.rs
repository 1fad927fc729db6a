//! `ps`.

mod ports;

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::template::{self, Field};
use crate::{engine, moment, quantity, usage};

/// Docker's own format.
const TABLE: &str =
    "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";
/// How much of a command is shown.
const COMMAND: usize = 20;
/// How much of an id is shown.
const ID: usize = 12;

/// List containers
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long, default_value = "")]
    format: String,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, allow_hyphen_values = true, value_parser = quantity::integer)]
    last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

/// Lists containers.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let filters = filters("ps", &args.filter)?;
    let engine = engine::connect(global).await?;
    let mut options =
        ListContainersOptionsBuilder::new().all(args.all).size(args.size || args.format.contains(".Size"));
    if !filters.is_empty() {
        options = options.filters(&filters);
    }
    let last = if args.latest { Some(1) } else { args.last };
    if let Some(last) = last.filter(|last| *last > 0) {
        options = options.limit(i32::try_from(last).unwrap_or(i32::MAX));
    }
    let containers = engine.docker.list_containers(Some(options.build())).await?;
    let rows: Vec<_> = containers.into_iter().map(|container| row(container, !args.no_trunc)).collect();
    let wanted = match (args.quiet, args.format.as_str()) {
        (true, "" | "table") => "{{.ID}}",
        (_, format) => format,
    };
    let fallback = if args.size { format!("{TABLE}\\t{{{{.Size}}}}") } else { TABLE.to_owned() };
    let text = template::list(wanted, &fallback, &rows, &row(ContainerSummary::default(), true))?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// `name=value` pairs by name.
pub(crate) fn filters(command: &str, given: &[String]) -> Result<HashMap<String, Vec<String>>, Failure> {
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    for filter in given {
        let (name, value) = filter.split_once('=').ok_or_else(|| {
            usage::wrong_value(command, "-f, --filter", filter, "bad format of filter (expected name=value)")
        })?;
        filters.entry(name.trim().to_lowercase()).or_default().push(value.trim().to_owned());
    }
    Ok(filters)
}

fn row(container: ContainerSummary, truncate: bool) -> Vec<Field> {
    let id = container.id.unwrap_or_default();
    let names = container.names.unwrap_or_default();
    // A name that holds another slash is a link's, seen from the container that made it.
    let own =
        names.iter().map(|name| name.trim_start_matches('/')).filter(|name| !truncate || !name.contains('/'));
    let created = container.created.unwrap_or_default();
    let image = container.image.unwrap_or_default();
    let size = match (container.size_rw.unwrap_or_default(), container.size_root_fs.unwrap_or_default()) {
        (own, all) if all > 0 => format!("{} (virtual {})", quantity::shown(own, 3), quantity::shown(all, 3)),
        (own, _) => quantity::shown(own, 3),
    };
    let mut labels: Vec<_> = container
        .labels
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.sort();
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut networks: Vec<_> = networks.into_keys().collect();
    networks.sort();
    let mounts = container.mounts.unwrap_or_default().into_iter();
    let mounts: Vec<_> = mounts.filter_map(|mount| mount.name.or(mount.source)).collect();
    let short = if truncate { id.chars().take(ID).collect() } else { id };
    vec![
        ("ID", "CONTAINER ID", short),
        ("Image", "IMAGE", if image.is_empty() { "<no image>".to_owned() } else { image }),
        ("Command", "COMMAND", command(&container.command.unwrap_or_default(), truncate)),
        ("CreatedAt", "CREATED AT", created_at(created)),
        ("RunningFor", "CREATED", format!("{} ago", moment::since(created))),
        ("State", "STATE", container.state.map(|state| state.to_string()).unwrap_or_default()),
        ("Status", "STATUS", container.status.unwrap_or_default()),
        ("Ports", "PORTS", ports::shown(container.ports.unwrap_or_default())),
        ("Names", "NAMES", own.collect::<Vec<_>>().join(",")),
        ("Size", "SIZE", size),
        ("Labels", "LABELS", labels.join(",")),
        ("Networks", "NETWORKS", networks.join(",")),
        ("Mounts", "MOUNTS", mounts.join(",")),
        ("LocalVolumes", "LOCAL VOLUMES", mounts.len().to_string()),
    ]
}

/// In quotes, cut to what fits.
fn command(text: &str, truncate: bool) -> String {
    if truncate && text.chars().count() > COMMAND {
        let cut: String = text.chars().take(COMMAND - 1).collect();
        return format!("{:?}", format!("{cut}…"));
    }
    format!("{text:?}")
}

fn created_at(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_cut_and_quoted() {
        assert_eq!(command("sh -c 'echo hello world'", true), "\"sh -c 'echo hello w…\"");
        assert_eq!(command("a \"b\"", true), "\"a \\\"b\\\"\"");
    }

    #[test]
    fn a_filter_needs_a_value() {
        assert!(filters("ps", &["name".to_owned()]).is_err());
        assert_eq!(filters("ps", &["name=a".to_owned()]).unwrap()["name"], ["a"]);
    }
}
