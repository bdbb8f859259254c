//! A relay between Terraform and the server, which notes how long a lock is on its way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Passes on what it is sent. Its threads end with the connections, and the last with the program.
#[derive(Debug)]
pub(super) struct Relay {
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    hand_offs: Arc<Mutex<HandOffs>>,
}

#[derive(Debug, Default)]
struct HandOffs {
    /// The last `UNLOCK` that no answer to a `LOCK` has followed.
    unlocked: Option<Instant>,
    spans: Vec<Duration>,
}

impl Relay {
    /// Listens on a free port for connections to `server`.
    pub(super) fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let hand_offs = Arc::<Mutex<HandOffs>>::default();
        let (server, noted) = (server.to_owned(), Arc::clone(&hand_offs));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let hand_offs = Arc::clone(&noted);
                // A client whose connection ends asks again, as it does without a relay.
                let _ = TcpStream::connect(&server).and_then(|server| {
                    let locks = Arc::<AtomicBool>::default();
                    let (noted, locking) = (Arc::clone(&hand_offs), Arc::clone(&locks));
                    pipe(&client, &server, move |request| note_request(request, &locking, &noted))?;
                    pipe(&server, &client, move |answer| note_answer(answer, &locks, &hand_offs))
                });
            }
        });
        Ok(Self { address, hand_offs })
    }

    /// Returns the times from each `UNLOCK` to the next answer that grants a `LOCK`.
    pub(super) fn hand_offs(&self) -> Vec<Duration> {
        self.hand_offs.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }
}

/// Copies from one connection to another in a thread, and shows each piece before it goes on.
fn pipe(
    from: &TcpStream,
    to: &TcpStream,
    mut show: impl FnMut(&[u8]) + Send + 'static,
) -> std::io::Result<()> {
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    // Each piece goes on at once.
    to.set_nodelay(true)?;
    thread::spawn(move || {
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            show(&piece[..length]);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        // The other direction ends with this one.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    Ok(())
}

/// Notes an `UNLOCK`, and whether the connection waits for a lock. A head comes in one piece.
#[expect(clippy::disallowed_methods, reason = "real processes have no other clock")]
fn note_request(piece: &[u8], locks: &AtomicBool, hand_offs: &Mutex<HandOffs>) {
    if piece.starts_with(b"LOCK ") {
        locks.store(true, Ordering::Relaxed);
    } else if piece.starts_with(b"UNLOCK ") {
        let mut hand_offs = hand_offs.lock().unwrap_or_else(PoisonError::into_inner);
        hand_offs.unlocked = Some(Instant::now());
    }
}

/// Notes that a lock was granted.
fn note_answer(piece: &[u8], locks: &AtomicBool, hand_offs: &Mutex<HandOffs>) {
    if locks.swap(false, Ordering::Relaxed) && piece.starts_with(b"HTTP/1.1 200 ") {
        let mut hand_offs = hand_offs.lock().unwrap_or_else(PoisonError::into_inner);
        let span = hand_offs.unlocked.take().map(|unlocked| unlocked.elapsed());
        hand_offs.spans.extend(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_grant_after_an_unlock_is_a_hand_off() {
        let (holder, waiter) = (AtomicBool::new(false), AtomicBool::new(false));
        let hand_offs = Mutex::default();
        note_request(b"LOCK / HTTP/1.1", &holder, &hand_offs);
        note_answer(b"HTTP/1.1 200 OK", &holder, &hand_offs);
        note_request(b"LOCK / HTTP/1.1", &waiter, &hand_offs);
        note_request(b"UNLOCK / HTTP/1.1", &holder, &hand_offs);
        note_answer(b"HTTP/1.1 200 OK", &holder, &hand_offs);
        assert_eq!(hand_offs.lock().unwrap().spans.len(), 0);
        note_answer(b"HTTP/1.1 200 OK", &waiter, &hand_offs);
        assert_eq!(hand_offs.lock().unwrap().spans.len(), 1);
    }
}
