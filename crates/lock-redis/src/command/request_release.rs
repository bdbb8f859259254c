//! Asking the holders to release a key.

use std::time::Duration;

use lock_core::{
    FencingToken, Operation, OwnerId, Reason, ReleaseAppeal, ReleaseRequested, Result, Timed,
    Timeout,
};

use crate::encoding::{millis, push_counted, split_counted, split_word};
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};
use crate::store::Store;

pub(crate) static REQUEST_RELEASE: Script =
    Script::whole("request_release", include_str!("../scripts/request_release.lua"));

impl Store {
    pub(crate) async fn request_release(
        &self,
        appeal: &ReleaseAppeal,
    ) -> Result<Timed<ReleaseRequested>> {
        let (key, asked) = (&appeal.key, write(appeal));
        let up_to = appeal.up_to.map_or(0, FencingToken::get);
        let args = [Arg::Bytes(&asked), Arg::Number(up_to)];
        self.run(Operation::RequestRelease, &REQUEST_RELEASE, key, &args, requested).await
    }
}

fn requested(mut answer: Answer) -> Option<ReleaseRequested> {
    let holders = answer.list()?;
    let holders = holders.iter().map(|text| reply::holder(text)).collect::<Option<_>>()?;
    Some(ReleaseRequested::new(holders, answer.number()? == 1))
}

/// Writes who asks, why and how soon, as the script describes it.
fn write(appeal: &ReleaseAppeal) -> Vec<u8> {
    let mut text = format!("{} ", millis(appeal.within.span())).into_bytes();
    push_counted(&mut text, appeal.by.as_str());
    text.extend_from_slice(appeal.reason.as_str().as_bytes());
    text
}

/// Reads what [`write`] wrote: how soon, who asks, and why.
pub(crate) fn parse(text: &[u8]) -> Option<(Timeout, OwnerId, Reason)> {
    let (within, rest) = split_word(text)?;
    let within = Timeout::parse(Duration::from_millis(within.parse().ok()?)).ok()?;
    let (by, reason) = split_counted(rest)?;
    let by = OwnerId::parse(str::from_utf8(by).ok()?).ok()?;
    Some((within, by, Reason::parse(str::from_utf8(reason).ok()?).ok()?))
}
