//! The classic build: one archive in, a stream of texts out, in the words that dockerd has always used.

mod context;
mod narrate;

use std::io::Read;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::dockerfile::{Dockerfile, Instruction, Place, Step};
use crate::history::Style;
use crate::options::{Grants, Options};
use crate::solve::Build;
use crate::sources::{Received, Sources};
use crate::{Builder, Error, Result};

use context::Context;
use narrate::Narrator;

/// Where lines of the answer go.
pub type Lines = Arc<dyn Fn(Value) + Send + Sync>;

/// What a classic build starts from.
pub enum Input {
    /// An archive with the context.
    Archive(Box<dyn Read + Send>),
    /// The address of an archive or of a Dockerfile.
    Remote(String),
}

struct Folder(Received);

impl Sources for Folder {
    fn context(&self) -> BoxFuture<'_, Result<Received>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

impl Builder {
    /// Builds an image the classic way; `lines` gets the answer. Returns the image's id.
    ///
    /// # Errors
    /// In dockerd's words.
    pub async fn build_classic(
        self: &Arc<Self>,
        input: Input,
        options: Options,
        quiet: bool,
        lines: Lines,
        cancel: CancellationToken,
    ) -> Result<String> {
        let context = Context::receive(self, input, &options.dockerfile, &lines).await?;
        let text = context.dockerfile.clone();
        if text.is_empty() {
            let name = Some(options.dockerfile.clone()).filter(|name| !name.is_empty());
            return Err(Error::EmptyDockerfile(name.unwrap_or_else(|| "Dockerfile".to_owned())));
        }
        let mut file = Dockerfile::parse(&text)?;
        label(&mut file, &options);
        // Images that may serve as cache, of which none is here, serve nothing: not even a setting.
        let is_here = |name: &String| self.store.image(name).is_ok();
        let serves_nothing = !options.cache_from.is_empty() && !options.cache_from.iter().any(is_here);
        let no_cache = options.no_cache || serves_nothing;
        let narrator = Arc::new(Narrator::new(self.clone(), lines.clone(), quiet, no_cache));
        let sources: Arc<dyn Sources> = Arc::new(Folder(Received::anew(context.folder.clone())));
        // The old API has no words to grant anything: dockerd's builder gave RUN the machine's network unasked.
        let granted = Grants { host_network: true, insecure: false };
        let build = Build::new(
            self.clone(),
            file,
            Options { granted, ..options.clone() },
            sources,
            narrator.clone(),
            cancel,
            Style::Classic,
        )?;
        narrator.plan(&build);
        let state = build.in_order().await?;
        narrator.unconsumed(&build);
        let (builder, tags, parent) = (self.clone(), options.tags.clone(), narrator.parent());
        let id = tokio::task::spawn_blocking(move || -> Result<_> {
            let id = builder.store.compose(&state.finished(), parent.as_ref())?;
            for tag in &tags {
                builder.store.tag(&id.to_string(), tag)?;
            }
            Ok(id)
        })
        .await??;
        lines(json!({ "aux": { "ID": id.to_string() } }));
        if quiet {
            lines(json!({ "stream": format!("{id}\n") }));
        } else {
            lines(json!({ "stream": format!("Successfully built {}\n", id.short()) }));
            for tag in &options.tags {
                lines(json!({ "stream": format!("Successfully tagged {tag}\n") }));
            }
        }
        Ok(id.to_string())
    }
}

/// Labels of the request are one more instruction at the end of the target.
fn label(file: &mut Dockerfile, options: &Options) {
    if options.labels.is_empty() {
        return;
    }
    let target = options.target.as_deref().filter(|target| !target.is_empty());
    let target = target.and_then(|name| file.stage(name)).unwrap_or(file.stages.len() - 1);
    let pairs: Vec<(String, String)> =
        options.labels.iter().map(|(name, value)| (quoted(name), quoted(value))).collect();
    let shown: Vec<String> = options.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!("LABEL {}", shown.join(" "));
    let step = Step { instruction: Instruction::Label(pairs), text, place: Place::default() };
    file.stages[target].steps.push(step);
}

/// A text that expands to itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// An error that a client can act on is told as it is.
impl Error {
    /// The last line of a failed build's answer.
    pub fn line(&self) -> Value {
        let message = self.describe();
        let mut detail = json!({ "message": message });
        if let Some(code) = self.code() {
            detail["code"] = json!(code);
        }
        json!({ "errorDetail": detail, "error": message })
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Command { code, .. } => Some(*code),
            Self::Stage(error) => error.code(),
            _ => None,
        }
    }
}
