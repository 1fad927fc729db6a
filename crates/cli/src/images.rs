//! `images`.

use std::io::Write;
use std::process::ExitCode;

use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptionsBuilder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::failure::Outcome;
use crate::global::Global;
use crate::template::{self, Field};
use crate::{engine, moment, ps, quantity};

const TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
const DIGESTS: &str =
    "table {{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
/// What has no name.
const NONE: &str = "<none>";
/// How much of an id is shown.
const ID: usize = 12;

/// List images
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show all images (default hides intermediate and dangling images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long, default_value = "")]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Only these.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

/// Lists images.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let mut filters = ps::filters("images", &args.filter)?;
    if let Some(repository) = &args.repository {
        filters.entry("reference".to_owned()).or_default().push(repository.clone());
    }
    let engine = engine::connect(global).await?;
    let mut options = ListImagesOptionsBuilder::new().all(args.all);
    if !filters.is_empty() {
        options = options.filters(&filters);
    }
    let images = engine.docker.list_images(Some(options.build())).await?;
    let rows: Vec<_> = images.iter().flat_map(|image| rows(image, &args)).collect();
    let wanted = match (args.quiet, args.format.as_str()) {
        (true, "" | "table") => "{{.ID}}",
        (_, format) => format,
    };
    let fallback = if args.digests { DIGESTS } else { TABLE };
    let empty = row(&ImageSummary::default(), NONE, NONE, NONE, true);
    let text = template::list(wanted, fallback, &rows, &empty)?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// One row per name; with digests one per digest of it too. An image without a name has one row.
fn rows(image: &ImageSummary, args: &Args) -> Vec<Vec<Field>> {
    let short = !args.no_trunc;
    let tags = image.repo_tags.iter().filter(|tag| *tag != "<none>:<none>");
    let digests: Vec<_> = image.repo_digests.iter().filter_map(|digest| digest.split_once('@')).collect();
    let mut rows = Vec::new();
    for name in tags {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, NONE));
        let of_it = digests.iter().filter(|(of, _)| *of == repository).map(|(_, digest)| *digest);
        let of_it: Vec<_> = if args.digests { of_it.collect() } else { Vec::new() };
        if of_it.is_empty() {
            rows.push(row(image, repository, tag, NONE, short));
        }
        rows.extend(of_it.iter().map(|digest| row(image, repository, tag, digest, short)));
    }
    if rows.is_empty() {
        let named = digests.iter().map(|(repository, digest)| row(image, repository, NONE, digest, short));
        rows.extend(named);
    }
    if rows.is_empty() {
        rows.push(row(image, NONE, NONE, NONE, short));
    }
    rows
}

fn row(image: &ImageSummary, repository: &str, tag: &str, digest: &str, short: bool) -> Vec<Field> {
    let id = if short {
        image.id.split_once(':').map_or(image.id.as_str(), |(_, hex)| hex).chars().take(ID).collect()
    } else {
        image.id.clone()
    };
    let created = Timestamp::from_second(image.created).unwrap_or_default().to_zoned(TimeZone::system());
    let containers = if image.containers < 0 { "N/A".to_owned() } else { image.containers.to_string() };
    vec![
        ("Repository", "REPOSITORY", repository.to_owned()),
        ("Tag", "TAG", tag.to_owned()),
        ("Digest", "DIGEST", digest.to_owned()),
        ("ID", "IMAGE ID", id),
        ("CreatedSince", "CREATED", format!("{} ago", moment::since(image.created))),
        ("CreatedAt", "CREATED AT", created.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()),
        ("Size", "SIZE", quantity::shown(image.size, 3)),
        ("Containers", "CONTAINERS", containers),
        ("SharedSize", "SHARED SIZE", "N/A".to_owned()),
        ("UniqueSize", "UNIQUE SIZE", "N/A".to_owned()),
        ("VirtualSize", "VIRTUAL SIZE", quantity::shown(image.size, 3)),
    ]
}
