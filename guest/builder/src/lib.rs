//! Builds images: a Dockerfile becomes stages, stages become steps, steps become layers in the image store.
//!
//! A [`Builder`] is a value that an engine opens beside its image store. What it needs of its surroundings it is
//! given: the store, registries, networks, a cgroup. It knows nothing of HTTP.

pub mod dockerfile;

use berth_images::Platform;

/// The arguments that every Dockerfile has, with their values where build and target are this machine.
pub(crate) fn platform_arguments() -> Vec<(String, String)> {
    arguments_for(&Platform::local(), &Platform::local())
}

fn arguments_for(build: &Platform, target: &Platform) -> Vec<(String, String)> {
    let of = |prefix: &str, platform: &Platform| {
        [
            (format!("{prefix}PLATFORM"), platform.to_string()),
            (format!("{prefix}OS"), platform.os.clone()),
            (format!("{prefix}ARCH"), platform.architecture.clone()),
            (format!("{prefix}VARIANT"), platform.variant.clone()),
        ]
    };
    of("BUILD", build).into_iter().chain(of("TARGET", target)).collect()
}
