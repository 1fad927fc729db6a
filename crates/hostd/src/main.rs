//! `hostd [IMAGE_DIR]`: the host daemon; `hostd vmm CONFIG` is its machine's process, `hostd relay ADDRESS` one
//! connection of the guest to the host's loopback.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hostd::settings::Settings;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Not on a thread of the async runtime: the emulator dies with the thread that starts it.
        ["vmm", config] => {
            let config = vmm::process::read_config(Path::new(config)).context("read the configuration")?;
            Ok(vmm::process::run(config)?)
        }
        ["relay", address] => vmm::process::relay(address).context("relay"),
        [] => serve(Path::new("target/berth/vm").to_path_buf()),
        [image_dir] => serve(image_dir.into()),
        _ => bail!("usage: hostd [IMAGE_DIR]"),
    }
}

fn serve(image_dir: PathBuf) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("find the daemon's own program")?;
    let settings = Settings::of_user(image_dir, vec![program.to_string_lossy().into_owned()]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start threads")?;
    Ok(runtime.block_on(hostd::run(settings))?)
}
