//! Changes that the commands ask of the service, asked again when the answer does not come.
//!
//! Each change has a request id of its own, which all its attempts carry: so that it is carried out
//! once however many of them arrive, and whoever asked gets the answer that it had then. What the
//! service refuses is not asked again.

use std::time::Duration;

use tonic::{Code, Status};
use uuid::Uuid;

/// How often a change is asked for before the command gives up.
const ATTEMPTS_MAX: u32 = 4;
/// Before the second attempt; twice as long before each further one. Together they outlast a restart
/// of the service.
const PAUSE: Duration = Duration::from_millis(500);

/// The answer to a change, for which `ask` is given its request id.
///
/// Not cancel safe: a change whose answer was not awaited may have been made.
pub(crate) async fn until_answered<A>(
    ask: impl AsyncFnMut(String) -> Result<A, Status>,
) -> Result<A, Status> {
    with_pauses(PAUSE, ask).await
}

async fn with_pauses<A>(
    pause: Duration,
    mut ask: impl AsyncFnMut(String) -> Result<A, Status>,
) -> Result<A, Status> {
    let mut attempts = Attempts::with_pauses(pause);
    loop {
        match ask(attempts.request_id()).await {
            Err(status) if attempts.is_another_due(&status).await => {}
            answer => return answer,
        }
    }
}

/// The attempts at one change, for who can't leave them to [`until_answered`].
#[derive(Debug)]
pub(crate) struct Attempts {
    request_id: String,
    left: u32,
    pause: Duration,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self::with_pauses(PAUSE)
    }

    fn with_pauses(pause: Duration) -> Self {
        Self { request_id: Uuid::new_v4().to_string(), left: ATTEMPTS_MAX - 1, pause }
    }

    /// What all attempts carry.
    pub(crate) fn request_id(&self) -> String {
        self.request_id.clone()
    }

    /// Whether the change is to be asked for again, after this status; when it is time to. Cancel
    /// safe: a wait that was given up counts as an attempt.
    pub(crate) async fn is_another_due(&mut self, status: &Status) -> bool {
        if self.left == 0 || !is_lost(status) {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        true
    }
}

/// Whether nobody answered: the change may have been made or not.
fn is_lost(status: &Status) -> bool {
    // Unknown is what the client says of a connection that broke.
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a change to which the service answers so, one attempt after the other.
    async fn ask(codes: &[Code]) -> (Result<(), Code>, Vec<String>) {
        let mut asked = Vec::new();
        let answer = with_pauses(Duration::ZERO, async |request_id| {
            asked.push(request_id);
            match codes[asked.len() - 1] {
                Code::Ok => Ok(()),
                code => Err(Status::new(code, "no")),
            }
        });
        let answer = answer.await.map_err(|status| status.code());
        (answer, asked)
    }

    #[tokio::test]
    async fn a_change_without_an_answer_is_asked_again_under_the_same_id() {
        let (answer, asked) = ask(&[Code::Unavailable, Code::Unknown, Code::Ok]).await;
        assert_eq!(answer, Ok(()));
        assert_eq!(asked, vec![asked[0].clone(); 3]);
        let (_, others) = ask(&[Code::Ok]).await;
        assert_ne!(others[0], asked[0], "another change has another id");
    }

    #[tokio::test]
    async fn what_is_refused_is_not_asked_again_and_patience_ends() {
        let (answer, asked) = ask(&[Code::NotFound]).await;
        assert_eq!((answer, asked.len()), (Err(Code::NotFound), 1));
        let (answer, asked) = ask(&[Code::Unavailable; 4]).await;
        assert_eq!((answer, asked.len()), (Err(Code::Unavailable), 4));
    }
}
