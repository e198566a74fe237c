//! Limits what a caller can use up before it has shown the caller's token, and how long it may be silent at first.
//!
//! The limits of HTTP/2 itself are wide, because Envoy multiplexes the requests of all its clients over one connection,
//! and are fixed at the handshake. So until one call of a connection was authenticated, its frames are counted, and its
//! calls ([`Trust`]), and it must read: answers that it does not read would otherwise collect in memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::caller::Trust;

/// The client connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// The header of a frame (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// Frames at once. A new connection of Envoy is trusted as soon as its first call is read, so this need not allow for the
/// many calls that may follow at once.
const BURST: u32 = 1_024;

/// Frames in a second after that: health checks, and an Envoy whose token is wrong.
const PER_SECOND: f64 = 100.0;

/// How long a new connection may take for its preface and its first frame. Envoy sends them at once.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection whose frames are counted while it is not trusted.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    trust: Trust,
    /// Until the first frame.
    handshake: Option<Pin<Box<Sleep>>>,
    /// The caller does not read what was written last.
    is_stalled: bool,
    /// What was read last must be served before more is read: it may contain the token.
    must_yield: bool,
    frames: Frames,
    budget: f64,
    counted_at: Instant,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, trust: Trust, now: Instant) -> Self {
        let handshake = Some(Box::pin(sleep_until(now + HANDSHAKE)));
        let (frames, budget) = (Frames::default(), BURST.into());
        Self { stream, trust, handshake, is_stalled: false, must_yield: false, frames, budget, counted_at: now }
    }

    /// Whether nothing more may be read now. The task is woken when it may.
    fn must_wait(&mut self, cx: &Context<'_>) -> io::Result<bool> {
        if self.trust.is_granted() {
            return Ok(false);
        }
        if self.trust.is_overdrawn() {
            return Err(refusal("too many open calls without the caller's token"));
        }
        let must_yield = std::mem::take(&mut self.must_yield);
        if must_yield {
            cx.waker().wake_by_ref();
        }
        Ok(must_yield || self.is_stalled)
    }

    /// Records whether the caller reads.
    fn written<T>(&mut self, cx: &Context<'_>, written: Poll<T>) -> Poll<T> {
        // The wait of [`Metered::must_wait`] ends here.
        if std::mem::replace(&mut self.is_stalled, written.is_pending()) && written.is_ready() {
            cx.waker().wake_by_ref();
        }
        written
    }

    /// Charges the frames in `bytes`.
    fn charge(&mut self, bytes: &[u8], now: Instant) -> io::Result<()> {
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.counted_at, now));
        let refilled = (self.budget + elapsed.as_secs_f64() * PER_SECOND).min(BURST.into());
        let frames = self.frames.count(bytes);
        if frames > 0 {
            self.handshake = None;
        }
        self.budget = refilled - f64::from(frames);
        if self.budget < 0.0 && !self.trust.is_granted() {
            return Err(refusal("too many frames without the caller's token"));
        }
        Ok(())
    }
}

fn refusal(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// Finds the frames in a stream of bytes.
#[derive(Debug)]
struct Frames {
    /// Bytes until the next frame's header.
    skip: usize,
    /// The bytes of a header that is not complete.
    header: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE, header: Vec::with_capacity(HEADER) }
    }
}

impl Frames {
    /// The number of frames whose header ends in `bytes`.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut frames = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let missing = HEADER - self.header.len();
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            self.header.extend_from_slice(part);
            bytes = rest;
            let [high, middle, low, _, _, _, _, _, _] = self.header[..] else { return frames };
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.header.clear();
            frames += 1;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.must_wait(cx)? {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer)? {
            Poll::Ready(()) if this.trust.is_granted() && this.handshake.is_none() => Poll::Ready(Ok(())),
            Poll::Ready(()) => {
                this.must_yield = true;
                Poll::Ready(this.charge(&buffer.filled()[before..], Instant::now()))
            }
            Poll::Pending => {
                let Some(handshake) = &mut this.handshake else { return Poll::Pending };
                ready!(handshake.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no HTTP/2 frame after the connection's start",
                )))
            }
        }
    }
}

/// Without vectored writes: with them, h2 writes each payload of 256 bytes and more with a system call of its own, which
/// costs more than the decision. Without, it copies payloads below 1,024 bytes into one buffer for many answers.
impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::caller::{CallerToken, Callers};

    fn frame(length: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
        [&[high, middle, low, 1, 0, 0, 0, 0, 1][..], &vec![9; length]].concat()
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream: Vec<u8> = [vec![7; PREFACE], frame(0), frame(70_000), frame(3), frame(1)].concat();
        for size in [1, 8, 9, 10, 33, 1_000, stream.len()] {
            let mut frames = Frames::default();
            assert_eq!(stream.chunks(size).map(|part| frames.count(part)).sum::<u32>(), 4, "{size}");
        }
    }

    fn awaited() -> Trust {
        Trust::of(&Callers::ByToken(CallerToken::new(&[b'x'; 32]).unwrap()))
    }

    #[tokio::test]
    async fn only_a_trusted_connection_sends_more_than_its_budget() {
        let now = Instant::now();
        let flood = [vec![7; PREFACE], frame(0).repeat(BURST as usize)].concat();
        let mut unknown = Metered::new((), awaited(), now);
        unknown.charge(&flood, now).unwrap();
        unknown.charge(&frame(0), now).unwrap_err();

        let mut patient = Metered::new((), awaited(), now);
        patient.charge(&flood, now).unwrap();
        for second in 1..10 {
            patient.charge(&frame(0).repeat(100), now + Duration::from_secs(second)).unwrap();
        }
        assert!(Trust::of(&Callers::Local).is_granted());
        let trust = awaited();
        trust.grant();
        let mut envoy = Metered::new((), trust, now);
        envoy.charge(&flood, now).unwrap();
        envoy.charge(&flood, now).unwrap();
    }

    /// With open windows but a full socket, answers would collect in memory without a call that counts as open.
    #[tokio::test]
    async fn a_caller_that_does_not_read_is_not_read_from() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

        let (mut caller, server) = duplex(64);
        let trust = awaited();
        let mut server = Metered::new(server, trust.clone(), Instant::now());
        caller.write_all(&[7; 40]).await.unwrap();
        assert!(futures_util::poll!(std::pin::pin!(server.write_all(&[0; 100]))).is_pending());
        let mut read = [0; 10];
        assert!(futures_util::poll!(std::pin::pin!(server.read(&mut read))).is_pending());
        caller.read_exact(&mut [0; 64]).await.unwrap();
        server.write_all(&[0; 1]).await.unwrap();
        server.read_exact(&mut read).await.unwrap();
        // After a portion that was read, the task's other work comes first.
        assert!(futures_util::poll!(std::pin::pin!(server.read(&mut read))).is_pending());
        server.read_exact(&mut read).await.unwrap();

        trust.grant();
        assert!(futures_util::poll!(std::pin::pin!(server.write_all(&[0; 100]))).is_pending());
        server.read_exact(&mut read).await.unwrap();
    }
}
