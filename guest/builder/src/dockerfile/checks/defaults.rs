//! `InvalidDefaultArgInFrom`: a base that only build arguments make a name of an image.

use berth_images::Reference;

use super::Findings;
use crate::dockerfile::expand::{Lexer, Purpose};
use crate::dockerfile::stages::Dockerfile;

pub(super) fn rule(findings: &mut Findings, file: &Dockerfile) {
    let lexer = Lexer { escape: file.directives.escape, purpose: Purpose::Words };
    let mut arguments = crate::platform_arguments();
    arguments.push(("TARGETSTAGE".to_owned(), "default".to_owned()));
    for (name, default) in &file.arguments {
        let Some(default) = default else { continue };
        // The build itself says what is wrong.
        let Ok(value) = lexer.expand(default, &arguments) else { return };
        arguments.push((name.clone(), value.text));
    }
    for stage in &file.stages {
        let Ok(base) = lexer.expand(&stage.base, &arguments) else { return };
        if base.text.parse::<Reference>().is_err() {
            let message =
                format!("Default value for ARG {} results in empty or invalid base image name", stage.base);
            let about = "Default value for global ARG results in an empty or invalid base image name";
            findings.add("InvalidDefaultArgInFrom", about, stage.place, message);
        }
    }
}
