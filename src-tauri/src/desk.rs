//! What is known, in one place: the tasks lay it down, the page picks it up.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::Docker;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::watch;

use crate::engine::container::Container;
use crate::engine::image::Image;
use crate::failure::{Failure, FailureCode};
use crate::machine::status::Daemon;
use crate::news::{Engine, News, Snapshot};

/// The shared state of the window.
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    /// Where the Docker API is to be looked for; none while there is no machine.
    socket: watch::Sender<Option<String>>,
    /// Whether the socket was given from outside, so that the machine's state doesn't change it.
    socket_is_fixed: bool,
    /// Who reads which container's output.
    pub(crate) readers: Readers,
}

struct Inner {
    snapshot: Snapshot,
    docker: Option<Docker>,
    /// The page, once it said that it listens. A reloaded page takes the place of the one before.
    page: Option<Channel<News>>,
}

impl Desk {
    /// An empty desk; `fixed_socket` is a Docker socket that is used whatever the host daemon says.
    pub(crate) fn new(fixed_socket: Option<String>) -> Self {
        let snapshot = Snapshot {
            daemon: Daemon::Unknown,
            engine: Engine::Waiting,
            containers: Vec::new(),
            images: Vec::new(),
        };
        Self {
            inner: Mutex::new(Inner { snapshot, docker: None, page: None }),
            socket_is_fixed: fixed_socket.is_some(),
            socket: watch::Sender::new(fixed_socket),
            readers: Readers::default(),
        }
    }

    /// Registers the page and returns how things are. Both under one lock: no change falls between them.
    pub(crate) fn page_is_ready(&self, news: Channel<News>) -> Snapshot {
        let mut inner = self.lock();
        inner.page = Some(news);
        inner.snapshot.clone()
    }

    /// The Docker client, when the API answers.
    pub(crate) fn docker(&self) -> Result<Docker, Failure> {
        let inner = self.lock();
        match (&inner.docker, &inner.snapshot.engine) {
            (Some(docker), _) => Ok(docker.clone()),
            (None, Engine::Down { failure }) => Err(failure.clone()),
            (None, _) => Err(Failure::new(FailureCode::EngineDown, "the engine isn't running")),
        }
    }

    /// Where to look for the Docker API, and when that changes.
    pub(crate) fn socket(&self) -> watch::Receiver<Option<String>> {
        self.socket.subscribe()
    }

    /// The host daemon says something new, or is gone.
    pub(crate) fn lay_daemon(&self, daemon: Daemon) {
        if !self.socket_is_fixed {
            let socket = daemon.docker_socket();
            self.socket.send_if_modified(|known| {
                let changed = *known != socket;
                *known = socket;
                changed
            });
        }
        self.lay(|snapshot| snapshot.daemon = daemon.clone(), News::Daemon { daemon: daemon.clone() });
    }

    /// The Docker API answers through this client.
    pub(crate) fn lay_engine_up(&self, docker: Docker, version: String) {
        self.lock().docker = Some(docker);
        self.lay_engine(Engine::Up { version });
    }

    /// The Docker API doesn't answer, or nobody expects it to: what it said before isn't known any more.
    pub(crate) fn lay_engine_away(&self, engine: Engine) {
        self.lock().docker = None;
        self.readers.leave_all();
        self.lay_containers(Vec::new());
        self.lay_images(Vec::new());
        self.lay_engine(engine);
    }

    /// All containers.
    pub(crate) fn lay_containers(&self, containers: Vec<Container>) {
        self.lay(
            |snapshot| snapshot.containers = containers.clone(),
            News::Containers { containers: containers.clone() },
        );
    }

    /// All images.
    pub(crate) fn lay_images(&self, images: Vec<Image>) {
        self.lay(|snapshot| snapshot.images = images.clone(), News::Images { images: images.clone() });
    }

    fn lay_engine(&self, engine: Engine) {
        self.lay(|snapshot| snapshot.engine = engine.clone(), News::Engine { engine: engine.clone() });
    }

    /// Changes the snapshot and tells the page, if there was a change.
    fn lay(&self, change: impl FnOnce(&mut Snapshot), news: News) {
        let mut inner = self.lock();
        let before = inner.snapshot.clone();
        change(&mut inner.snapshot);
        if inner.snapshot != before
            && let Some(page) = &inner.page
            && let Err(error) = page.send(news)
        {
            tracing::debug!(%error, "the page is gone");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks that read containers' output.
#[derive(Default)]
pub(crate) struct Readers(Mutex<(u32, HashMap<u32, JoinHandle<()>>)>);

impl Readers {
    /// Keeps a task; returns its number.
    pub(crate) fn enter(&self, task: JoinHandle<()>) -> u32 {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.0 += 1;
        let number = readers.0;
        readers.1.retain(|_, task| !task.inner().is_finished());
        readers.1.insert(number, task);
        number
    }

    /// Ends a task; an unknown one has ended before.
    pub(crate) fn leave(&self, number: u32) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = readers.1.remove(&number) {
            task.abort();
        }
    }

    /// Ends nobody, but forgets all: their streams end with the engine, and they say so to the page.
    fn leave_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}
