//! How long a registry's answer is waited for. What is sent with a question takes as long as the network wants: nobody's
//! patience ends while it goes on.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::connect::Body;

/// How long a registry may take to begin its answer, and to take or to send the next bytes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may look at all that it was sent: some read a blob once more before they answer.
const LOOKING: Duration = Duration::from_secs(600);
/// In place of the number of parts.
const ALL: usize = usize::MAX;

/// How many parts of a body were taken, or [`ALL`].
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The same body, whose parts are counted.
    pub(super) fn count(&self, body: Body) -> Body {
        Body::new(Counted { body, taken: self.clone() })
    }
}

struct Counted {
    body: Body,
    taken: Taken,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        // Whoever knows its length doesn't ask for more than that.
        let is_last =
            frame.is_none() || self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        let taken = if is_last { ALL } else { self.taken.now() + 1 };
        self.taken.0.store(taken, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How long what may take.
#[derive(Clone, Copy)]
struct Patience {
    part: Duration,
    looking: Duration,
}

/// The answer to a question whose body is counted; none when it stops before it is all taken, or nothing comes after that.
pub(super) async fn answer<T>(asked: impl Future<Output = T>, taken: &Taken) -> Option<T> {
    answer_within(Patience { part: PATIENCE, looking: LOOKING }, asked, taken).await
}

async fn answer_within<T>(patience: Patience, asked: impl Future<Output = T>, taken: &Taken) -> Option<T> {
    let mut asked = pin!(asked);
    loop {
        let before = taken.now();
        let patience = if before == ALL { patience.looking } else { patience.part };
        match timeout(patience, &mut asked).await {
            Ok(answer) => return Some(answer),
            Err(_) if taken.now() == before => return None,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    /// So many parts, all at once.
    struct Parts(usize);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or_default();
            Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"part")))))
        }
    }

    /// A question whose parts are taken at every so many milliseconds, and whose answer takes so many more.
    async fn asked(patience: [u64; 2], parts: usize, each: u64, then: u64) -> Option<()> {
        let [part, looking] = patience.map(Duration::from_millis);
        let taken = Taken::default();
        let mut body = taken.count(Parts(parts).boxed_unsync());
        let question = async {
            while body.frame().await.is_some() {
                sleep(Duration::from_millis(each)).await;
            }
            sleep(Duration::from_millis(then)).await;
        };
        answer_within(Patience { part, looking }, question, &taken).await
    }

    #[tokio::test]
    async fn a_long_body_may_take_as_long_as_it_goes_on() {
        const LONG: u64 = 600_000;
        assert_eq!(asked([3000, LONG], 35, 100, 0).await, Some(()));
        assert_eq!(asked([20, LONG], 3, LONG, 0).await, None, "it stops");
        assert_eq!(asked([20, LONG], 1, 0, 100).await, Some(()), "all of it is being looked at");
        assert_eq!(asked([20, 20], 1, 0, LONG).await, None, "for too long");
    }
}
