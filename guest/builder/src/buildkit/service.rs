//! Which call of a client does what: `Control` and the gateway on one page.

mod bridge;
mod control;
mod history;
mod session;

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::Stream;
use hyper::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

use super::messages::{BytesMessage, Empty, Health};
use super::{BuildKit, LARGEST_MESSAGE};

/// Names the build that a gateway's call belongs to.
const BUILD: &str = "buildkit-controlapi-buildid";

/// Answers one call.
pub(super) async fn answer(kit: Arc<BuildKit>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let build = request.headers().get(BUILD).and_then(|value| value.to_str().ok());
    let build = build.unwrap_or_default().to_owned();
    Ok(match path.as_str() {
        "/moby.buildkit.v1.Control/Info" => unary(request, |_: Empty| async { Ok(control::info()) }).await,
        "/moby.buildkit.v1.Control/ListWorkers" => {
            unary(request, |_: Empty| async { Ok(control::workers()) }).await
        }
        "/moby.buildkit.v1.Control/Solve" => {
            unary(request, move |asked| control::solve(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.Control/Session" => session::open(kit, request).await,
        "/moby.buildkit.v1.Control/Status" => {
            streaming(request, move |asked| control::status(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.Control/DiskUsage" => {
            unary(request, move |asked| control::usage(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.Control/Prune" => {
            streaming(request, move |asked| control::prune(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.Control/ListenBuildHistory" => {
            streaming(request, move |asked| history::tell(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.Control/UpdateBuildHistory" => {
            unary(request, move |asked| history::update(kit.clone(), asked)).await
        }
        "/moby.buildkit.v1.frontend.LLBBridge/Ping" => {
            unary(request, |_: Empty| async { Ok(bridge::pong()) }).await
        }
        "/moby.buildkit.v1.frontend.LLBBridge/Solve" => {
            unary(request, move |asked| bridge::solve(kit.clone(), build.clone(), asked)).await
        }
        "/moby.buildkit.v1.frontend.LLBBridge/Return" => {
            unary(request, move |asked| bridge::give_back(kit.clone(), build.clone(), asked)).await
        }
        // What has a reference has been built.
        "/moby.buildkit.v1.frontend.LLBBridge/Evaluate" | "/moby.buildkit.v1.frontend.LLBBridge/Warn" => {
            unary(request, |_: Empty| async { Ok(Empty {}) }).await
        }
        "/grpc.health.v1.Health/Check" => {
            unary(request, |_: Empty| async { Ok(Health { status: Health::SERVING }) }).await
        }
        _ => {
            unary(request, move |_: Empty| {
                let message = format!("{path} isn't supported by this engine");
                async move { Err::<Empty, _>(Status::unimplemented(message)) }
            })
            .await
        }
    })
}

fn grpc<Q, A>() -> Grpc<ProstCodec<A, Q>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

/// One question, one answer.
async fn unary<Q, A, F>(
    request: Request<Body>,
    mut answer: impl FnMut(Q) -> F + Send + 'static,
) -> Response<Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    let service = tower::service_fn(move |request: tonic::Request<Q>| {
        let answered = answer(request.into_inner());
        async move { answered.await.map(tonic::Response::new) }
    });
    grpc::<Q, A>().unary(service, request).await
}

/// One question, many answers.
async fn streaming<Q, A, S, F>(
    request: Request<Body>,
    mut answer: impl FnMut(Q) -> F + Send + 'static,
) -> Response<Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
    F: Future<Output = Result<S, Status>> + Send + 'static,
{
    let service = tower::service_fn(move |request: tonic::Request<Q>| {
        let answered = answer(request.into_inner());
        async move { answered.await.map(tonic::Response::new) }
    });
    grpc::<Q, A>().server_streaming(service, request).await
}
