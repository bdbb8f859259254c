//! One connection: bounded in bytes and in patience, whatever its client does.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::AtlantisServiceConfig;
use crate::codec::{Decoder, Reply};
use crate::session::Session;

/// The number of bytes of answers after which they are sent.
const SEND: usize = 64 * 1024;
/// The number of bytes that are read at once.
const READ: usize = 4096;

/// Serves the commands of a connection until one side ends it.
///
/// A command is read when the one before it is answered, and nothing is read while answers wait to be
/// sent: so a connection has at most one command and one answer in memory, and what is read at once.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut session: Session,
    config: &AtlantisServiceConfig,
    closing: &CancellationToken,
) -> io::Result<()> {
    let (mut decoder, mut out) = (Decoder::default(), BytesMut::new());
    let start = Instant::now();
    let mut begun = None;
    loop {
        let answered =
            answer_all(&mut stream, &mut decoder, &mut session, &mut out, config).await?;
        send(&mut stream, &mut out, config).await?;
        if session.is_over() || closing.is_cancelled() {
            return stream.shutdown().await;
        }
        // A part of a command gets time for its rest, in however many pieces that comes.
        if answered > 0 || !decoder.is_within_a_command() {
            begun = None;
        }
        if decoder.is_within_a_command() {
            begun = begun.or_else(|| Some(Instant::now()));
        }
        let mut until = match begun {
            Some(begun) => begun + config.frame_timeout,
            None => Instant::now() + config.idle_timeout,
        };
        if !session.is_known() {
            until = until.min(start + config.frame_timeout);
        }
        decoder.buffer().reserve(READ);
        let read = tokio::select! {
            biased;
            () = closing.cancelled() => 0,
            () = session.revoked() => 0,
            read = timeout_at(until, stream.read_buf(decoder.buffer())) => read??,
        };
        if read == 0 {
            return stream.shutdown().await;
        }
    }
}

/// Answers the commands that are there.
async fn answer_all(
    stream: &mut (impl AsyncWrite + Unpin),
    decoder: &mut Decoder,
    session: &mut Session,
    out: &mut BytesMut,
    config: &AtlantisServiceConfig,
) -> io::Result<usize> {
    let mut answered = 0;
    while !session.is_over() {
        let parts = match decoder.next(session.frame_bytes()) {
            Ok(Some(parts)) => parts,
            Ok(None) => break,
            Err(malformed) => {
                Reply::error(malformed.to_string()).write(session.protocol(), out);
                send(stream, out, config).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, malformed.to_string()));
            }
        };
        let reply = session.answer(parts).await;
        let before = out.len();
        reply.write(session.protocol(), out);
        if out.len() - before > config.output_bytes {
            out.truncate(before);
            let text = "the answer is larger than this lock server sends: raise its output-bytes";
            Reply::error(text).write(session.protocol(), out);
        }
        answered += 1;
        if out.len() >= SEND || answered % config.pipeline == 0 {
            send(stream, out, config).await?;
        }
    }
    Ok(answered)
}

/// Sends the answers, if the client takes them in time.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    out: &mut BytesMut,
    config: &AtlantisServiceConfig,
) -> io::Result<()> {
    let all = async {
        stream.write_all_buf(out).await?;
        // A stream that encrypts may hold some back.
        stream.flush().await
    };
    timeout(config.write_timeout, all).await?
}
