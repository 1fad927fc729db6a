//! The fuzzing program: libFuzzer around the target that `BERTH_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("BERTH_FUZZ_TARGET").unwrap_or_default();
        fuzz::target(&name).expect("BERTH_FUZZ_TARGET names a target")
    });
    target(bytes);
});
