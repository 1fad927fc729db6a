//! `cargo xtask …`: everything a contributor runs, in one place and in Rust.
//!
//! Each command is one module of the same name. A command prints what it runs and stops at the first failure.

#![expect(clippy::print_stdout, reason = "a command-line tool talks to its user on stdout")]

mod bench;
mod build;
mod buildx;
mod cache;
mod container_image;
mod cross;
mod demo;
mod digest;
mod disk;
mod emulator;
mod folders;
mod fuzz;
mod image;
mod interrupt;
mod peer;
mod registry;
mod setup;
mod step;
mod suite;
mod test;
mod tidy;
mod virtiofsd;
mod window;
mod window_test;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Installs the Debian packages that building and testing need.
    Setup(setup::Args),
    /// Builds the programs and lays them in target/berth/.
    Build(build::Args),
    /// Builds the VM's kernel and root image and lays them in target/berth/vm/.
    Image(image::Args),
    /// Measures something and prints a table and a line of JSON.
    #[command(subcommand)]
    Bench(bench::Args),
    /// Runs other people's tests against an engine.
    #[command(subcommand)]
    Suite(suite::Args),
    /// Lints, for macOS and Windows, what is to run there.
    Cross,
    /// Searches for bytes that break a decoder.
    Fuzz(fuzz::Args),
    /// Builds, boots the machine, runs a container and fetches its page: everything in one command.
    Demo(demo::Args),
    /// Runs format, lints, tidy and every test this machine can run.
    Test(test::Args),
    /// Checks the house rules: layers, sizes, names, where an OS may be named.
    Tidy,
    /// Tests the window: its page alone, then the real one against a real engine.
    WindowTest,
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    interrupt::watch()?;
    match command {
        Command::Setup(args) => setup::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Suite(args) => suite::run(&args),
        Command::Cross => cross::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::WindowTest => window_test::run(),
    }
}
