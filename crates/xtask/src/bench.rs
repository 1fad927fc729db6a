//! `cargo xtask bench …`: measurements against a floor or a peer. Each prints a table for people and one line of JSON
//! for whoever keeps them.

mod api;
mod boot;
mod cgroups;
mod containers;
mod files;
mod images;
mod load;
mod memory;
mod net;
mod podman;
mod ports;
mod runtimes;
mod second_card;
mod site;
mod turns;

/// What `cargo xtask bench` takes.
#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// From launch to an API that answers, against the same kernel booting to a shell in the same machine.
    Boot(boot::Args),
    /// A container's life and what it costs, against dockerd with runc and podman; the runtime alone against runc and crun.
    Containers(containers::Args),
    /// Work on a shared folder, against the published virtiofsd and the guest's own file system in the same machine.
    Files(files::Args),
    /// One deed of it, inside of the machine.
    #[command(hide = true)]
    FilesDeed(files::deed::Args),
    /// Says what appears in a folder, inside of the machine.
    #[command(hide = true)]
    FilesEvents(files::events::Args),
    /// Pull, push, load, save, rmi, prune and builds, against dockerd with the same registry's content.
    Images(images::Args),
    /// The VM's way out, against QEMU's own user network; and what thousands of idle connections cost.
    Net(net::Args),
    /// What published ports carry, against the bridge's own address and dockerd's ports.
    Ports(ports::Args),
}

/// Measures.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args {
        Args::Boot(args) => boot::run(args),
        Args::Containers(args) => containers::run(args),
        Args::Files(args) => files::run(args),
        Args::FilesDeed(args) => files::deed::run(args),
        Args::FilesEvents(args) => files::events::run(args),
        Args::Images(args) => images::run(args),
        Args::Net(args) => net::run(args),
        Args::Ports(args) => ports::run(args),
    }
}

/// The middle one of some measurements, in seconds.
fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    match seconds.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => seconds[middle],
        _ => f64::midpoint(seconds[middle - 1], seconds[middle]),
    }
}

/// Bytes for people.
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
