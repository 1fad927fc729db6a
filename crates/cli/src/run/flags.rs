//! The flags of `run`.

use std::path::PathBuf;

use crate::quantity;

use super::mounts;

/// Create and run a new container from an image
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long)]
    pub(super) add_host: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long)]
    pub(super) attach: Vec<String>,
    /// Add Linux capabilities
    #[arg(long)]
    pub(super) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long)]
    pub(super) cap_drop: Vec<String>,
    /// Optional parent cgroup for the container
    #[arg(long)]
    pub(super) cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long)]
    pub(super) cgroupns: Option<String>,
    /// Write the container ID to the file
    #[arg(long)]
    pub(super) cidfile: Option<PathBuf>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_parser = quantity::integer)]
    pub(super) cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_parser = quantity::integer)]
    pub(super) cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_parser = quantity::integer)]
    pub(super) cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_parser = quantity::cpus)]
    pub(super) cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    pub(super) cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long)]
    pub(super) cpuset_mems: Option<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "")]
    pub(super) detach_keys: String,
    /// Add a host device to the container
    #[arg(long)]
    pub(super) device: Vec<String>,
    /// Set custom DNS servers
    #[arg(long)]
    pub(super) dns: Vec<String>,
    /// Set DNS options
    #[arg(long)]
    pub(super) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long)]
    pub(super) dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long)]
    pub(super) domainname: Option<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long)]
    pub(super) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long)]
    pub(super) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long)]
    pub(super) env_file: Vec<PathBuf>,
    /// Expose a port or a range of ports
    #[arg(long)]
    pub(super) expose: Vec<String>,
    /// Add additional groups to join
    #[arg(long)]
    pub(super) group_add: Vec<String>,
    /// Print usage
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Container host name
    #[arg(short = 'h', long)]
    pub(super) hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(super) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long)]
    pub(super) ip: Option<String>,
    /// IPC mode to use
    #[arg(long)]
    pub(super) ipc: Option<String>,
    /// Set meta data on a container
    #[arg(short, long)]
    pub(super) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long)]
    pub(super) label_file: Vec<PathBuf>,
    /// Logging driver for the container
    #[arg(long)]
    pub(super) log_driver: Option<String>,
    /// Log driver options
    #[arg(long)]
    pub(super) log_opt: Vec<String>,
    /// Memory limit
    #[arg(short, long, value_parser = quantity::bytes)]
    pub(super) memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_parser = quantity::bytes)]
    pub(super) memory_reservation: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, allow_hyphen_values = true, value_parser = quantity::bytes_or_unlimited)]
    pub(super) memory_swap: Option<i64>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_parser = mounts::wanted)]
    pub(super) mount: Vec<mounts::Wanted>,
    /// Assign a name to the container
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Connect a container to a network
    #[arg(long, visible_alias = "net")]
    pub(super) network: Option<String>,
    /// Add network-scoped alias for the container
    #[arg(long, visible_alias = "net-alias")]
    pub(super) network_alias: Vec<String>,
    /// Disable OOM Killer
    #[arg(long)]
    pub(super) oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, allow_hyphen_values = true, value_parser = quantity::integer)]
    pub(super) oom_score_adj: Option<i64>,
    /// PID namespace to use
    #[arg(long)]
    pub(super) pid: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, allow_hyphen_values = true, value_parser = quantity::integer)]
    pub(super) pids_limit: Option<i64>,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    pub(super) platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(super) privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long)]
    pub(super) publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(super) publish_all: bool,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, default_value = "missing")]
    pub(super) pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, default_value = "no")]
    pub(super) restart: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub(super) rm: bool,
    /// Runtime to use for this container
    #[arg(long)]
    pub(super) runtime: Option<String>,
    /// Security Options
    #[arg(long)]
    pub(super) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_parser = quantity::bytes)]
    pub(super) shm_size: Option<i64>,
    /// Proxy received signals to the process
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub(super) sig_proxy: bool,
    /// Signal to stop the container
    #[arg(long)]
    pub(super) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, allow_hyphen_values = true, value_parser = quantity::integer)]
    pub(super) stop_timeout: Option<i64>,
    /// Sysctl options
    #[arg(long)]
    pub(super) sysctl: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long)]
    pub(super) tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Ulimit options
    #[arg(long)]
    pub(super) ulimit: Vec<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// User namespace to use
    #[arg(long)]
    pub(super) userns: Option<String>,
    /// UTS namespace to use
    #[arg(long)]
    pub(super) uts: Option<String>,
    /// Bind mount a volume
    #[arg(short, long)]
    pub(super) volume: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long)]
    pub(super) volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long)]
    pub(super) workdir: Option<String>,
    /// The image.
    pub(super) image: String,
    /// What to run instead of the image's own command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

impl Args {
    /// Whether one of the standard streams is attached: without `-a`, output when not detached, and input with `-i`.
    pub(super) fn attaches(&self, stream: &str) -> bool {
        if !self.attach.is_empty() {
            return self.attach.iter().any(|named| named.eq_ignore_ascii_case(stream));
        }
        !self.detach && (stream != "stdin" || self.interactive)
    }
}
