//! A conversation with the host daemon ([`protocol::control`]).

use protocol::control::{Reply, Request, Status, Wish};
use protocol::frame;
use protocol::machine::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::failure::Failure;

/// One wish, and the daemon's answers.
pub(crate) struct Conversation(UnixStream);

impl Conversation {
    /// States the wish.
    pub(crate) async fn begin(mut stream: UnixStream, wish: Wish) -> Result<Self, Failure> {
        let request = frame::encode(&Request { version: protocol::VERSION, wish });
        stream.write_all(&request.map_err(Failure::from_error)?).await?;
        Ok(Self(stream))
    }

    /// The next status; none when the daemon has no more to say.
    pub(crate) async fn next(&mut self) -> Result<Option<Status>, Failure> {
        let mut prefix = [0; frame::PREFIX];
        if self.0.read_exact(&mut prefix).await.is_err() {
            return Ok(None);
        }
        let mut body = vec![0; frame::body_length(prefix).map_err(Failure::from_error)?];
        self.0.read_exact(&mut body).await?;
        match frame::decode(&body).map_err(Failure::from_error)? {
            Reply::Status(status) => Ok(Some(status)),
            Reply::Refused { message } => Err(Failure::new(message)),
        }
    }

    /// Shows each status to `watch` until the machine runs; none when the daemon ended before that.
    pub(crate) async fn until_it_runs(
        &mut self,
        mut watch: impl FnMut(&Status),
    ) -> Result<Option<Status>, Failure> {
        while let Some(status) = self.next().await? {
            watch(&status);
            match (status.state, &status.problem) {
                (State::Running, _) => return Ok(Some(status)),
                (State::Failed, Some(problem)) => return Err(Failure::new(&problem.message)),
                _ => {}
            }
        }
        Ok(None)
    }
}
