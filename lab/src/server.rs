//! One listening socket: accepts, speaks TLS if asked to, and hands requests to a service.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
/// An `Err` closes the connection without an answer.
pub(crate) type Answer = Result<Response<Body>, Hangup>;
pub(crate) type Service = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Answer> + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Hangup;

impl std::fmt::Display for Hangup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the lab closed the connection on purpose")
    }
}

impl std::error::Error for Hangup {}

pub(crate) fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn text(status: StatusCode, content: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body(content));
    *response.status_mut() = status;
    response
}

/// The error with which a body ends too early. It waits a moment, so that what was written before it reaches the client.
pub(crate) async fn cut() -> BoxError {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    "the lab cut the body on purpose".into()
}

/// A socket that is being served until this value is dropped.
pub(crate) struct Server {
    pub address: SocketAddr,
    accepting: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Listens on a loopback port of the system's choice.
pub(crate) async fn serve(tls: Option<Arc<ServerConfig>>, service: Service) -> Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind a loopback port")?;
    let address = listener.local_addr()?;
    let acceptor = tls.map(TlsAcceptor::from);
    let accepting = tokio::spawn(accept(listener, acceptor, service)).abort_handle();
    Ok(Server { address, accepting })
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, service: Service) {
    // Connections live in this set, so aborting the accept loop ends them too.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        match acceptor.clone() {
            None => connections.spawn(converse(stream, service)),
            Some(acceptor) => connections.spawn(async move {
                match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, service).await,
                    Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                }
            }),
        };
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Service) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(move |request| service(request)));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}
