//! A rotation step by step: at each moment either the old or the new key is in force, and it is known which.

use std::pin::pin;
use std::time::Duration;

use keyrot::secrecy::{ExposeSecret, SecretString};
use keyrot::{Clock, SecretError, SecretErrorKind};

use crate::secrets_ended::{End, Ended, InForce, ended};
use crate::secrets_probe::{Answer, until_accepted};
use crate::secrets_target::Target;

/// A store may show an old value for a moment after it took a new one; so often it is read, each time after a pause.
const READS: u32 = 10;
const BETWEEN_READS: Duration = Duration::from_millis(500);

pub(crate) struct Rotation<'a, C, A, T> {
    pub(crate) target: &'a Target,
    pub(crate) new: SecretString,
    /// How long the provider may refuse the new key.
    pub(crate) patience: Duration,
    pub(crate) clock: &'a C,
    pub(crate) ask: A,
    /// For whoever waits.
    pub(crate) tell: T,
}

/// What a read of the store shows.
enum Stored {
    /// What was there when it all began; `None` if that was nothing.
    AsBefore,
    Ours,
    Other,
    Unreadable(SecretError),
}

impl<C: Clock, A: AsyncFn(&SecretString) -> Answer, T: Fn(&str)> Rotation<'_, C, A, T> {
    /// `stop` ends it where it is safe: before the new key is written, or after.
    pub(crate) async fn run(&self, stop: impl Future<Output = u8>) -> Ended {
        let mut stop = pin!(stop);
        let before = tokio::select! {
            biased;
            signal = &mut stop => return ended(End::Stopped(signal), InForce::Old, 0),
            old = self.read() => match old {
                Ok(Some(old)) if old.expose_secret() == self.new.expose_secret() => {
                    let text = "this is the key that the store holds already; make a new one at the provider";
                    return ended(End::Failed(text.to_owned()), InForce::Old, 0);
                }
                Ok(old) => old,
                Err(error) => {
                    let text = format!("the old key cannot be read, nothing was written: {error}");
                    return ended(End::Failed(text), InForce::Unknown, 0);
                }
            },
        };
        let untouched = if before.is_some() { InForce::Old } else { InForce::None };
        let (asked, accepted) = tokio::select! {
            biased;
            signal = &mut stop => return ended(End::Stopped(signal), untouched, 0),
            answer = self.accepted() => answer,
        };
        if let Err(why) = accepted {
            let text = format!("the provider does not accept the new key, nothing was written: {why}");
            return ended(End::Failed(text), untouched, asked);
        }
        match self.write(before.as_ref(), untouched).await {
            Ok(()) => {}
            Err((why, in_force)) => return ended(End::Failed(why), in_force, asked),
        }
        let (again, accepted) = tokio::select! {
            biased;
            signal = &mut stop => return ended(End::Stopped(signal), InForce::New, asked),
            answer = self.accepted() => answer,
        };
        match accepted {
            Ok(()) => ended(End::Done, InForce::New, asked + again),
            Err(why) => {
                let (restored, in_force) = self.restore(before.as_ref()).await;
                let text =
                    format!("the provider has refused the new key once it was written: {why}; {restored}");
                ended(End::Failed(text), in_force, asked + again)
            }
        }
    }

    async fn accepted(&self) -> (u32, Result<(), String>) {
        until_accepted(self.clock, self.patience, async || (self.ask)(&self.new).await, &self.tell).await
    }

    /// Not to be interrupted: the store's own deadlines bound it.
    async fn write(
        &self,
        before: Option<&SecretString>,
        untouched: InForce,
    ) -> Result<(), (String, InForce)> {
        match self.stored(before).await {
            Stored::AsBefore => {}
            Stored::Ours | Stored::Other => {
                let text =
                    "somebody else has changed the secret while the provider was asked; nothing was written";
                return Err((text.to_owned(), InForce::Other));
            }
            Stored::Unreadable(error) => {
                let text = format!("the old key cannot be read any more, nothing was written: {error}");
                return Err((text, untouched));
            }
        }
        let Target { store, key, .. } = self.target;
        let written = store.put(key, &self.new).await;
        let failed = |seen: &str| match &written {
            Ok(()) => format!("the new key was written, but {seen}"),
            Err(error) => format!("the new key could not be written: {error}; {seen}"),
        };
        for read in 1.. {
            let (text, in_force) = match self.stored(before).await {
                Stored::Ours => return Ok(()), // even if the store has reported an error: its answer was lost
                Stored::Other => {
                    ("somebody else has written meanwhile; that was left alone".to_owned(), InForce::Other)
                }
                Stored::AsBefore => ("the store holds what it held before".to_owned(), untouched),
                Stored::Unreadable(error) => (format!("the store cannot be read: {error}"), InForce::Unknown),
            };
            let late = matches!(in_force, InForce::Other) || read == READS;
            if late || written.is_err() && in_force == untouched {
                return Err((failed(&text), in_force));
            }
            self.clock.sleep_until(self.clock.now() + BETWEEN_READS).await;
        }
        Ok(())
    }

    /// The old key comes back only into the place of ours.
    async fn restore(&self, before: Option<&SecretString>) -> (String, InForce) {
        let Some(old) = before else {
            return ("it stays, as there was none before".to_owned(), InForce::New);
        };
        match self.stored(before).await {
            Stored::Ours => {}
            Stored::AsBefore => return ("the old key is back already".to_owned(), InForce::Old),
            Stored::Other => {
                return (
                    "somebody else has written meanwhile; that was left alone".to_owned(),
                    InForce::Other,
                );
            }
            Stored::Unreadable(error) => {
                return (format!("it stays, as the store cannot be read: {error}"), InForce::Unknown);
            }
        }
        let Target { store, key, .. } = self.target;
        let put = store.put(key, old).await;
        match (self.stored(before).await, put) {
            (Stored::AsBefore, _) => ("the old key was put back".to_owned(), InForce::Old),
            (Stored::Ours, Err(error)) => {
                (format!("the old key could not be put back: {error}"), InForce::New)
            }
            (Stored::Ours, Ok(())) => {
                ("the old key was put back, but the store still shows it".to_owned(), InForce::New)
            }
            (Stored::Other, _) => ("somebody else has written meanwhile".to_owned(), InForce::Other),
            (Stored::Unreadable(error), _) => {
                (format!("the old key was written, but the store cannot be read: {error}"), InForce::Unknown)
            }
        }
    }

    /// What the store holds; `None` if that is nothing, or nothing that is a key.
    async fn read(&self) -> Result<Option<SecretString>, SecretError> {
        use SecretErrorKind::{Disabled, Empty, NotFound, WrongShape};
        match self.target.store.fetch(&self.target.key).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if matches!(error.kind(), Disabled | Empty | NotFound | WrongShape) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stored(&self, before: Option<&SecretString>) -> Stored {
        match self.read().await {
            Err(error) => Stored::Unreadable(error),
            Ok(Some(secret)) if secret.expose_secret() == self.new.expose_secret() => Stored::Ours,
            Ok(now)
                if now.as_ref().map(ExposeSecret::expose_secret)
                    == before.map(ExposeSecret::expose_secret) =>
            {
                Stored::AsBefore
            }
            Ok(_) => Stored::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use keyrot::{KeyId, KeyMetadata, ManualClock, SecretStore, SecretWriter, Settings, Vars};
    use keyrot_testkit::run_virtual;

    use super::*;

    /// What a store does with the next value that is put.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Trick {
        Refuses,
        /// The write arrives, its answer does not.
        LosesTheAnswer,
        /// Shows the old value so often before the new one.
        Lags(u32),
        /// Somebody else writes at the same time, a moment later.
        IsOvertaken,
        Breaks,
    }

    #[derive(Debug)]
    struct Scripted {
        value: Mutex<Option<String>>,
        stale: Mutex<(u32, Option<String>)>,
        broken: Mutex<bool>,
        tricks: Mutex<Vec<Trick>>,
    }

    fn down(locator: &str) -> SecretError {
        SecretError::new(SecretErrorKind::Unreachable, locator, "no answer")
    }

    #[async_trait]
    impl SecretStore for Scripted {
        fn locator(&self, key: &KeyMetadata) -> String {
            format!("test:{}", key.key_id)
        }

        async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
            if *self.broken.lock().unwrap() {
                return Err(down(&self.locator(key)));
            }
            let mut stale = self.stale.lock().unwrap();
            let value = match stale.0.checked_sub(1) {
                Some(left) => {
                    stale.0 = left;
                    stale.1.clone()
                }
                None => self.value.lock().unwrap().clone(),
            };
            let missing = || SecretError::new(SecretErrorKind::NotFound, self.locator(key), "missing");
            value.map(SecretString::from).ok_or_else(missing)
        }
    }

    #[async_trait]
    impl SecretWriter for Scripted {
        async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
            let trick = self.tricks.lock().unwrap().pop();
            let before = self.value.lock().unwrap().clone();
            let mut written = Some(secret.expose_secret().to_owned());
            match trick {
                Some(Trick::Refuses) => return Err(down(&self.locator(key))),
                Some(Trick::IsOvertaken) => written = Some("theirs".to_owned()),
                Some(Trick::Lags(reads)) => *self.stale.lock().unwrap() = (reads, before),
                Some(Trick::Breaks) => *self.broken.lock().unwrap() = true,
                _ => {}
            }
            *self.value.lock().unwrap() = written;
            match trick {
                Some(Trick::LosesTheAnswer) => Err(down(&self.locator(key))),
                _ => Ok(()),
            }
        }
    }

    /// How it ends with these tricks (the last first), if the provider answers so to each question in turn, and what
    /// the store holds then.
    fn rotation(old: Option<&str>, tricks: &[Trick], answers: &[bool]) -> (Ended, Option<String>) {
        let store = Arc::new(Scripted {
            value: Mutex::new(old.map(str::to_owned)),
            stale: Mutex::default(),
            broken: Mutex::new(false),
            tricks: Mutex::new(tricks.to_vec()),
        });
        let key = KeyMetadata::new(KeyId::parse("a").unwrap(), "m");
        let settings = Settings::from_vars(&Vars::default()).unwrap();
        let target = Target { locator: store.locator(&key), store: store.clone(), key, settings };
        let clock = ManualClock::default();
        let asked = Cell::new(0);
        let rotation = Rotation {
            target: &target,
            new: SecretString::from("new"),
            patience: Duration::from_secs(60),
            clock: &clock,
            ask: async |_: &SecretString| match answers[asked.replace(asked.get() + 1)] {
                true => Answer::Accepted,
                false => Answer::Refused("no".to_owned()),
            },
            tell: |_: &str| {},
        };
        let ended = run_virtual(clock.clone(), rotation.run(std::future::pending()));
        let held = store.value.lock().unwrap().clone();
        (ended, held)
    }

    fn why(ended: &Ended) -> &str {
        match &ended.end {
            End::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_a_write() {
        let (ended, held) = rotation(Some("old"), &[Trick::LosesTheAnswer], &[true, true]);
        assert_eq!((ended.end, ended.in_force, held.as_deref()), (End::Done, InForce::New, Some("new")));
    }

    #[test]
    fn a_store_that_shows_a_new_value_late_is_waited_for_but_not_for_ever() {
        let (ended, _) = rotation(Some("old"), &[Trick::Lags(READS - 1)], &[true, true]);
        assert_eq!((ended.end, ended.in_force), (End::Done, InForce::New));
        let (ended, _) = rotation(Some("old"), &[Trick::Lags(100)], &[true]);
        assert_eq!(ended.in_force, InForce::Old);
        assert!(why(&ended).contains("was written, but the store holds what it held before"), "{ended:?}");
    }

    #[test]
    fn a_refused_write_leaves_the_old_key() {
        let (ended, held) = rotation(Some("old"), &[Trick::Refuses], &[true]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::Old, Some("old")));
        assert!(
            why(&ended).starts_with("the new key could not be written: test:a: no answer; "),
            "{ended:?}"
        );
        let (ended, held) = rotation(None, &[Trick::Refuses], &[true]);
        assert_eq!((ended.in_force, held), (InForce::None, None));
    }

    #[test]
    fn what_somebody_else_writes_at_the_same_time_is_left_alone() {
        let (ended, held) = rotation(Some("old"), &[Trick::IsOvertaken], &[true]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::Other, Some("theirs")));
        assert!(why(&ended).contains("somebody else has written meanwhile"), "{ended:?}");
    }

    #[test]
    fn a_store_that_breaks_leaves_it_unknown() {
        let (ended, _) = rotation(Some("old"), &[Trick::Breaks], &[true]);
        assert_eq!(ended.in_force, InForce::Unknown);
        assert!(why(&ended).contains("cannot be read: test:a: no answer"), "{ended:?}");
    }

    #[test]
    fn a_key_that_is_refused_once_it_is_written_gives_way_to_the_old_one() {
        let (ended, held) = rotation(Some("old"), &[], &[true, false]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::Old, Some("old")));
        assert!(why(&ended).ends_with("no; the old key was put back"), "{ended:?}");
        let (ended, held) = rotation(None, &[], &[true, false]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::New, Some("new")));
        let (ended, held) = rotation(Some("old"), &[Trick::Refuses, Trick::LosesTheAnswer], &[true, false]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::New, Some("new")));
        assert!(why(&ended).contains("the old key could not be put back: test:a: no answer"), "{ended:?}");
        let (ended, held) =
            rotation(Some("old"), &[Trick::IsOvertaken, Trick::LosesTheAnswer], &[true, false]);
        assert_eq!((ended.in_force, held.as_deref()), (InForce::Other, Some("theirs")));
    }
}
