//! Prepares Tauri's context, and lets the shell be checked on a clone whose page was never built.

use std::fs;
use std::path::Path;

fn main() {
    let page = Path::new("../ui/dist");
    if !page.join("index.html").exists() {
        // Tauri embeds this folder and refuses to compile without it. An empty one is enough for checks and lints;
        // `cargo xtask build` builds the page first, and refuses to lay a window without one.
        if let Err(error) = fs::create_dir_all(page) {
            println!("cargo::error=can't make {}: {error}", page.display());
        }
    }
    println!("cargo::rerun-if-changed=../ui/dist");
    tauri_build::build();
}
