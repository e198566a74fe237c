//! Counts the open calls of a connection that is not trusted: an answer that is not read stays in memory.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::Service,
};

use super::caller::{OpenCall, Trust};

/// A service whose calls are counted in `trust` until their answers were sent or dropped.
#[derive(Clone, Debug)]
pub(super) struct Counted<S> {
    service: S,
    trust: Trust,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, trust: Trust) -> Self {
        Self { service, trust }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Unpin>,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Call<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.service.call(request);
        // After the call, which may have granted the trust.
        let open = self.trust.open_call();
        Call { answer, open }
    }
}

/// A call without an answer yet.
#[derive(Debug)]
pub(super) struct Call<F> {
    answer: F,
    open: Option<OpenCall>,
}

impl<B, E, F: Future<Output = Result<Response<B>, E>> + Unpin> Future for Call<F> {
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = ready!(Pin::new(&mut this.answer).poll(cx));
        Poll::Ready(answer.map(|answer| answer.map(|body| Answer { body, _open: this.open.take() })))
    }
}

/// An answer's body, which hyper drops when it was sent.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    _open: Option<OpenCall>,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
